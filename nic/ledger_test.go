package nic

import (
	"strings"
	"testing"
)

func TestTheLedgerBalancesOverAForwarder(t *testing.T) {
	pool := NewPool(16, 2048)
	ledger := NewLedger(pool)
	a, b := NewMemory(pool, Rings{}), NewMemory(pool, Rings{Transmit: 4, Completion: 2})
	in, out := ledger.Watch(a, "a"), ledger.Watch(b, "b")
	free := chunksOf(pool)
	frames := make([]Frame, 8)
	for round := range 100 {
		for range round % 7 {
			a.Inject([]byte("frame"))
		}
		free = forward(in, out, frames, free)
		if err := ledger.Check(free); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

func TestTheLedgerNamesEveryWrongMove(t *testing.T) {
	tests := map[string]struct {
		wrong func(q Queue) [][]uint64 // returns the worker's hands afterwards
		want  string
	}{
		"filled twice":      {func(q Queue) [][]uint64 { q.Fill([]uint64{0, 0}); return nil }, "q fill of chunk 0x0"},
		"sent while filled": {func(q Queue) [][]uint64 { q.Fill([]uint64{0}); q.Transmit([]Frame{{Addr: 9}}); return nil }, "q transmit of chunk 0x9"},
		"outside the pool":  {func(q Queue) [][]uint64 { q.Fill([]uint64{1 << 20}); return nil }, "outside"},
		"held twice":        {func(q Queue) [][]uint64 { return [][]uint64{{0, 2048}, {2048}} }, "twice"},
		"held and filled":   {func(q Queue) [][]uint64 { q.Fill([]uint64{0}); return [][]uint64{{0, 2048}} }, "and in q fill"},
		"lost":              {func(q Queue) [][]uint64 { return [][]uint64{{0}} }, "0x800 is lost"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			pool := NewPool(2, 2048)
			ledger := NewLedger(pool)
			hands := c.wrong(ledger.Watch(NewMemory(pool, Rings{}), "q"))
			err := ledger.Check(hands...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want one with %q", err, c.want)
			}
		})
	}
}
