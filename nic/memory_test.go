package nic

import (
	"bytes"
	"testing"
)

var _ Queue = (*Memory)(nil)

// forward is the smallest worker: everything received on in leaves on out.
func forward(in, out Queue, frames []Frame, free []uint64) []uint64 {
	free = append(free, make([]uint64, 64)...)
	free = free[:len(free)-64+out.Complete(free[len(free)-64:])]
	n := in.Fill(free)
	free = append(free[:0], free[n:]...)
	got := in.Receive(frames)
	took := out.Transmit(frames[:got])
	for _, f := range frames[took:got] {
		free = append(free, f.Addr)
	}
	in.Kick()
	out.Kick()
	return free
}

func chunksOf(p *Pool) []uint64 {
	var all []uint64
	for i := range p.Chunks() {
		all = append(all, uint64(i)*uint64(p.Chunk))
	}
	return all
}

func TestFramesLeaveAsTheyArrived(t *testing.T) {
	pool := NewPool(8, 2048)
	in, out := NewMemory(pool, Rings{}), NewMemory(pool, Rings{})
	if in.Inject([]byte("early")) {
		t.Fatal("a frame arrived without a filled chunk")
	}
	free := forward(in, out, make([]Frame, 4), chunksOf(pool))
	in.Inject([]byte("one"))
	in.Inject([]byte("two"))
	forward(in, out, make([]Frame, 4), free)
	got := out.Sent()
	if len(got) != 2 || !bytes.Equal(got[0], []byte("one")) || !bytes.Equal(got[1], []byte("two")) {
		t.Fatalf("sent %q", got)
	}
	if again := out.Sent(); len(again) != 0 {
		t.Fatalf("sent again %q", again)
	}
	if s := in.Stats(); s.FillEmpty != 1 {
		t.Fatalf("stats %+v", s)
	}
}

func TestMemoryLosesFramesAsANICDoes(t *testing.T) {
	pool := NewPool(4, 2048)
	tests := map[string]struct {
		prepare func(*Memory)
		frame   []byte
		want    Stats
	}{
		"down":         {func(m *Memory) { m.SetDown(true) }, []byte("x"), Stats{RxDropped: 1}},
		"too long":     {func(*Memory) {}, make([]byte, 2048-Headroom+1), Stats{RxDropped: 1}},
		"receive full": {func(m *Memory) { m.Inject([]byte("x")); m.Inject([]byte("x")) }, []byte("x"), Stats{RxRingFull: 1}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			m := NewMemory(pool, Rings{Receive: 2})
			m.Fill(chunksOf(pool))
			c.prepare(m)
			if m.Inject(c.frame) {
				t.Fatal("arrived")
			}
			if m.Stats() != c.want {
				t.Fatalf("stats %+v, want %+v", m.Stats(), c.want)
			}
		})
	}
}

func TestADownNICKeepsWhatWasQueued(t *testing.T) {
	pool := NewPool(4, 2048)
	m := NewMemory(pool, Rings{Transmit: 2})
	m.SetDown(true)
	frame := Frame{Addr: Headroom, Len: 60}
	if n := m.Transmit([]Frame{frame, frame, frame}); n != 2 {
		t.Fatalf("a ring of 2 took %d", n)
	}
	m.Kick()
	if m.SentCount() != 0 || m.Stats().KickDown != 1 {
		t.Fatalf("sent %d, stats %+v", m.SentCount(), m.Stats())
	}
	m.SetDown(false)
	m.Kick()
	if m.SentCount() != 2 {
		t.Fatalf("sent %d after the link came up", m.SentCount())
	}
}

func TestNothingLeavesWithoutRoomForItsCompletion(t *testing.T) {
	pool := NewPool(4, 2048)
	m := NewMemory(pool, Rings{Completion: 1})
	m.Transmit([]Frame{{Addr: 100, Len: 60}, {Addr: 2048 + 100, Len: 60}})
	m.Kick()
	if m.SentCount() != 1 {
		t.Fatalf("sent %d", m.SentCount())
	}
	chunks := make([]uint64, 4)
	if n := m.Complete(chunks); n != 1 || chunks[0] != 0 {
		t.Fatalf("completed %v", chunks[:n])
	}
	m.Kick()
	if n := m.Complete(chunks); n != 1 || chunks[0] != 2048 {
		t.Fatalf("completed %v", chunks[:n])
	}
}

func TestTheWorkersSideOfMemoryDoesNotAllocate(t *testing.T) {
	pool := NewPool(64, 2048)
	in, out := NewMemory(pool, Rings{}), NewMemory(pool, Rings{})
	out.Discard(true)
	frames, free := make([]Frame, 64), make([]uint64, 0, 256)
	free = append(free, chunksOf(pool)...)
	frame := make([]byte, 60)
	if n := testing.AllocsPerRun(100, func() {
		for range 8 {
			in.Inject(frame)
		}
		free = forward(in, out, frames, free)
	}); n != 0 {
		t.Fatalf("%v allocations a round", n)
	}
}
