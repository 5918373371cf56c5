package lvx

import "testing"

// TestAHopThatIsUsedMeanwhileIsNotUnused: workers go on while the hops are
// looked through, and their clock ticks.
func TestAHopThatIsUsedMeanwhileIsNotUnused(t *testing.T) {
	for _, now := range []uint32{100_000, 0, 1<<32 - 1} { // it wraps
		unused := unusedAt(now)
		for since, want := range map[int]bool{-2: false, -1: false, 0: false, unusedTicks: false, unusedTicks + 1: true} {
			if unused(now-uint32(since)) != want {
				t.Errorf("at %d, used %d ticks ago: unused %t", now, since, !want)
			}
		}
	}
}
