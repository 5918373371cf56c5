package nic

import (
	"bytes"
	"math/bits"
	"testing"
)

var _ Queue = (*Faulty)(nil)

// run forwards 1000 frames of zeros through faults on both sides and returns
// what the queues suffered and what was sent.
func run(t *testing.T, faults Faults) (in, out Suffered, injected int, sent [][]byte) {
	t.Helper()
	pool := NewPool(64, 2048)
	ledger := NewLedger(pool)
	a, b := NewMemory(pool, Rings{Fill: 16}), NewMemory(pool, Rings{Transmit: 16})
	fa, fb := NewFaulty(a, pool, faults), NewFaulty(b, pool, faults)
	qa, qb := ledger.Watch(fa, "a"), ledger.Watch(fb, "b")
	frames, free := make([]Frame, 8), chunksOf(pool)
	for range 500 {
		for range 2 {
			if a.Inject(make([]byte, 60)) {
				injected++
			}
		}
		free = forward(qa, qb, frames, free)
		if err := ledger.Check(free); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, b.Sent()...)
	}
	return fa.Suffered, fb.Suffered, injected, sent
}

func TestAFaultyQueueKeepsBookOfWhatItDoes(t *testing.T) {
	tests := map[string]struct {
		faults Faults
		holds  func(in, out Suffered, injected int, sent [][]byte) bool
	}{
		"none": {Faults{}, func(in, out Suffered, injected int, sent [][]byte) bool {
			return in == Suffered{} && out == Suffered{} && len(sent) == injected
		}},
		"lost before the worker": {Faults{LoseReceived: .2}, func(in, _ Suffered, injected int, sent [][]byte) bool {
			return in.LostReceived > 100 && len(sent) == injected-int(in.LostReceived)
		}},
		"lost after the worker": {Faults{LoseSent: .2}, func(_, out Suffered, injected int, sent [][]byte) bool {
			return out.LostSent > 100 && len(sent) == injected-int(out.LostSent)
		}},
		"flipped": {Faults{Flip: .2}, func(in, _ Suffered, _ int, sent [][]byte) bool {
			return in.Flipped > 100 && ones(sent) == int(in.Flipped)
		}},
		"short": {Faults{ShortTransmit: .5}, func(_, out Suffered, injected int, sent [][]byte) bool {
			return out.Short > 100 && len(sent) < injected
		}},
		"down": {Faults{DownEvery: 20, DownFor: 5}, func(in, out Suffered, _ int, sent [][]byte) bool {
			return in.Down == 125 && out.Down == 125 && len(sent) > 500
		}},
		"everything": {Faults{LoseReceived: .1, LoseSent: .1, Flip: .1, ShortTransmit: .1, DownEvery: 50, DownFor: 10},
			func(_, _ Suffered, _ int, sent [][]byte) bool { return len(sent) > 100 }},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			in, out, injected, sent := run(t, c.faults)
			if !c.holds(in, out, injected, sent) {
				t.Errorf("%d injected, %d sent; in %+v, out %+v", injected, len(sent), in, out)
			}
		})
	}
}

func ones(frames [][]byte) (n int) {
	for _, b := range bytes.Join(frames, nil) {
		n += bits.OnesCount8(b)
	}
	return n
}

func TestTheSameSeedMakesTheSameFaults(t *testing.T) {
	faults := Faults{Seed: 7, LoseReceived: .1, LoseSent: .1, Flip: .1, ShortTransmit: .1}
	_, _, _, first := run(t, faults)
	_, _, _, second := run(t, faults)
	if !bytes.Equal(bytes.Join(first, nil), bytes.Join(second, nil)) {
		t.Error("two runs differ")
	}
	faults.Seed = 8
	if _, _, _, third := run(t, faults); bytes.Equal(bytes.Join(first, nil), bytes.Join(third, nil)) {
		t.Error("another seed changes nothing")
	}
}
