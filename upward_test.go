package lvx

import (
	"testing"

	"github.com/lvx-lb/lvx/dataplane"
)

func TestTheWayBackHoldsABoundedNumberOfFrames(t *testing.T) {
	u := newUpward(&links{}, nil, nil)
	now, took := dataplane.Time(dataplane.Second), 0
	for range 2 * upwardFrames {
		if u.PassUp(now, 0, make([]byte, 60), false) {
			took++
		}
		now += dataplane.Second // never short of tokens
	}
	if took != upwardFrames {
		t.Errorf("took %d frames, the ring has %d", took, upwardFrames)
	}
	u.taken.Store(u.put.Load())
	if !u.PassUp(now, 0, make([]byte, 60), false) {
		t.Error("an emptied ring takes nothing")
	}
}

func TestTheWayBackHasARate(t *testing.T) {
	u := newUpward(&links{}, nil, nil)
	took := 0
	for ms := range 2000 {
		for range 100 { // 100,000 a second
			if u.PassUp(dataplane.Time(dataplane.Second)+dataplane.Time(ms)*dataplane.Second/1000, 0, make([]byte, 60), false) {
				took++
			}
			u.taken.Store(u.put.Load())
		}
	}
	if most := 2*upwardRate + upwardFrames; took > most || took < 2*upwardRate-upwardRate/100 {
		t.Errorf("took %d frames in two seconds, want about %d", took, most)
	}
}

func TestTheWayBackRefusesWhatIsNoFrameOfOurs(t *testing.T) {
	u := newUpward(&links{}, nil, nil)
	if u.PassUp(dataplane.Time(dataplane.Second), 0, make([]byte, chunkBytes+1), false) {
		t.Error("took a frame larger than a chunk")
	}
	frame := []byte{1, 2, 3}
	if !u.PassUp(dataplane.Time(dataplane.Second), 3, frame, true) {
		t.Fatal("refused a frame")
	}
	frame[0] = 9 // the worker goes on with its chunk
	if s := &u.slots[0]; s.len != 3 || s.bytes[0] != 1 || s.nic != 3 || !s.partial {
		t.Errorf("took %d bytes %v of NIC %d", s.len, s.bytes[:3], s.nic)
	}
}

func TestTheWayBackAllocatesNothingForTheWorker(t *testing.T) {
	u := newUpward(&links{}, nil, nil)
	frame, now := make([]byte, 1500), dataplane.Time(dataplane.Second)
	if n := testing.AllocsPerRun(1000, func() {
		now += dataplane.Second / 100
		u.PassUp(now, 0, frame, true)
		u.taken.Store(u.put.Load())
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
