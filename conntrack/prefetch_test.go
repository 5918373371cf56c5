package conntrack

import (
	"math"
	"testing"
)

// What is asked for is on its way at best: here only that any number is taken,
// and the last slot has a first one behind it.
func TestAnyNumberOfLookupsIsPrefetched(t *testing.T) {
	table := newTable(t, 1000)
	if i := table.home(math.MaxUint64); i != Index(len(table.slots)-1) || table.step(i, 1) != 0 {
		t.Fatalf("the greatest hash is at home in slot %d of %d", i, len(table.slots))
	}
	for n := range 200 {
		hashes := make([]uint64, n)
		for k := range hashes {
			hashes[k] = math.MaxUint64 - uint64(k)
		}
		if allocs := testing.AllocsPerRun(1, func() { table.Prefetch(hashes) }); allocs != 0 {
			t.Fatalf("%d look-ups: %v allocations", n, allocs)
		}
	}
}
