package nic

import (
	"bytes"
	"testing"
)

// left is a frame that leaves the sum of its last five bytes to the queue.
func left(p *Pool) Frame {
	f := Frame{Addr: Headroom, Len: 7}
	copy(p.Data(f), []byte{9, 9, 0x00, 0x05, 0x12, 0x34, 0x01})
	p.LeaveChecksum(&f, 2, 0)
	return f
}

var onTheWire = []byte{9, 9, 0xec, 0xc6, 0x12, 0x34, 0x01}

func TestChecksumsAreFinishedOnTheWireOnly(t *testing.T) {
	pool := NewPool(2, 2048)
	m := NewMemory(pool, Rings{})
	f := left(pool)
	before := bytes.Clone(pool.Data(f))
	m.Transmit([]Frame{f})
	m.Kick()
	if got := m.Sent(); len(got) != 1 || !bytes.Equal(got[0], onTheWire) {
		t.Errorf("sent % x", got)
	}
	if !bytes.Equal(pool.Data(f), before) {
		t.Error("the frame in the pool has changed")
	}
}

func TestACaptureShowsFinishedChecksums(t *testing.T) {
	pool := NewPool(2, 2048)
	for snap, want := range map[int][]byte{64: onTheWire, 4: onTheWire[:4], 3: {9, 9, 0x00}} {
		tap := NewTap(4, snap)
		tee := NewTee(NewMemory(pool, Rings{}), pool, 0)
		tee.CopyTo(tap)
		tee.Transmit([]Frame{left(pool)})
		tap.Drain(func(c *Copy) {
			if !bytes.Equal(c.Data, want) {
				t.Errorf("snap %d: % x", snap, c.Data)
			}
		})
	}
}

func TestAChecksumOutsideItsFrameIsRefused(t *testing.T) {
	pool := NewPool(2, 2048)
	short, near := left(pool), left(pool)
	short.Len = 3
	near.Addr = MetadataLen - 8
	m := NewMemory(pool, Rings{})
	m.Transmit([]Frame{short, near})
	m.Kick()
	if s := m.Stats(); s.TxInvalid != 2 || len(m.Sent()) != 0 {
		t.Errorf("stats %+v", s)
	}
}
