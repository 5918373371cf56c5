package nic

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

var _ Queue = (*Tee)(nil)

func TestATeeCopiesBothDirections(t *testing.T) {
	pool := NewPool(8, 2048)
	a, b := NewMemory(pool, Rings{}), NewMemory(pool, Rings{})
	in, out := NewTee(a, pool, 1), NewTee(b, pool, 2)
	frames, free := make([]Frame, 4), forward(in, out, nil, chunksOf(pool))

	a.Inject([]byte("before the capture"))
	free = forward(in, out, frames, free)
	tap := NewTap(8, 5)
	in.CopyTo(tap)
	out.CopyTo(tap)
	a.Inject([]byte("ping"))
	a.Inject([]byte("longer than the snap length"))
	free = forward(in, out, frames, free)
	in.CopyTo(nil)
	out.CopyTo(nil)
	a.Inject([]byte("after the capture"))
	forward(in, out, frames, free)

	want := []Copy{
		{Data: []byte("ping"), Length: 4, NIC: 1},
		{Data: []byte("longe"), Length: 27, NIC: 1},
		{Data: []byte("ping"), Length: 4, NIC: 2, Direction: Transmitted},
		{Data: []byte("longe"), Length: 27, NIC: 2, Direction: Transmitted},
	}
	n := tap.Drain(func(c *Copy) {
		w := want[0]
		want = want[1:]
		if !bytes.Equal(c.Data, w.Data) || c.Length != w.Length || c.NIC != w.NIC || c.Direction != w.Direction || c.When.IsZero() {
			t.Errorf("copy %+v, want %+v", *c, w)
		}
	})
	if n != 4 || tap.Lost() != 0 {
		t.Errorf("%d copies, %d lost", n, tap.Lost())
	}
}

func TestAFullTapLosesCopiesAndNothingElse(t *testing.T) {
	pool := NewPool(16, 2048)
	a, b := NewMemory(pool, Rings{}), NewMemory(pool, Rings{})
	in := NewTee(a, pool, 1)
	tap := NewTap(4, 64)
	in.CopyTo(tap)
	free := forward(in, b, nil, chunksOf(pool))
	for range 7 {
		a.Inject([]byte("frame"))
	}
	forward(in, b, make([]Frame, 16), free)
	if b.SentCount() != 7 || tap.Lost() != 3 {
		t.Errorf("sent %d, lost %d copies", b.SentCount(), tap.Lost())
	}
	if n := tap.Drain(func(*Copy) {}); n != 4 {
		t.Errorf("%d copies", n)
	}
}

// The worker and the consumer run at once: for the race detector, and for the
// copies to be whole.
func TestCopiesAreWholeWhileTheWorkerRuns(t *testing.T) {
	pool := NewPool(32, 2048)
	a, b := NewMemory(pool, Rings{}), NewMemory(pool, Rings{})
	b.Discard(true)
	in := NewTee(a, pool, 1)
	tap := NewTap(16, 64)
	done := make(chan uint64)
	go func() {
		frames, free := make([]Frame, 16), chunksOf(pool)
		var seen uint64
		for round := range 20_000 {
			if round == 100 {
				in.CopyTo(tap)
			}
			before := b.SentCount()
			a.Inject(bytes.Repeat([]byte{byte(round)}, 40))
			free = forward(in, b, frames, free)
			if round >= 100 {
				seen += b.SentCount() - before
			}
		}
		done <- seen
	}()
	copies, seen, running := uint64(0), uint64(0), true
	for running {
		select {
		case seen = <-done:
			running = false
		default:
		}
		copies += uint64(tap.Drain(func(c *Copy) {
			if len(c.Data) != 40 || bytes.Count(c.Data, c.Data[:1]) != 40 {
				t.Errorf("copy %x", c.Data)
			}
		}))
	}
	if copies+tap.Lost() != seen {
		t.Errorf("%d copies and %d lost of %d frames", copies, tap.Lost(), seen)
	}
}

func TestACaptureIsRecordedUntilItsContextEnds(t *testing.T) {
	pool := NewPool(4, 2048)
	tap := NewTap(8, 100)
	tap.put(pool, []Frame{{Addr: 256, Len: 60}, {Addr: 2304, Len: 99}}, 1, Received)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var file bytes.Buffer
	if err := Record(ctx, &file, tap, NewTap(1, 1)); err != nil {
		t.Fatal(err)
	}
	wantCapture(t, file.Bytes(), []int{60, 99})
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

var errFull = errors.New("no space left")

func TestARecordingEndsWhenNobodyTakesIt(t *testing.T) {
	if err := Record(context.Background(), fullDisk{}, NewTap(1, 1)); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
}

func TestATeeDoesNotAllocate(t *testing.T) {
	pool := NewPool(64, 2048)
	a, b := NewMemory(pool, Rings{}), NewMemory(pool, Rings{})
	b.Discard(true)
	in, out := NewTee(a, pool, 1), NewTee(b, pool, 2)
	tap := NewTap(64, 128)
	frames, free := make([]Frame, 64), make([]uint64, 0, 256)
	free = append(free, chunksOf(pool)...)
	frame := make([]byte, 60)
	for name, to := range map[string]*Tap{"off": nil, "on": tap} {
		in.CopyTo(to)
		out.CopyTo(to)
		if n := testing.AllocsPerRun(100, func() {
			a.Inject(frame)
			free = forward(in, out, frames, free)
		}); n != 0 {
			t.Errorf("%s: %v allocations a round", name, n)
		}
	}
}

func BenchmarkTee(b *testing.B) {
	pool := NewPool(64, 2048)
	frames, chunks := make([]Frame, 64), chunksOf(pool)
	for i, c := range chunks {
		frames[i] = Frame{Addr: c + Headroom, Len: 60}
	}
	for name, tap := range map[string]*Tap{"off": nil, "on": NewTap(64, 128)} {
		b.Run(name, func(b *testing.B) {
			m := NewMemory(pool, Rings{Transmit: 64, Completion: 64})
			m.Discard(true)
			q := NewTee(m, pool, 1)
			q.CopyTo(tap)
			for range b.N {
				q.Transmit(frames)
				q.Kick()
				q.Complete(chunks)
				if tap != nil {
					tap.consumed.Store(tap.produced.Load())
				}
			}
		})
	}
}
