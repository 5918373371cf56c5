package dataplane

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// TestALaneIsAQueue compares a lane with a slice, also where its counters
// overflow.
func TestALaneIsAQueue(t *testing.T) {
	for _, start := range []uint32{0, 1<<32 - 20} {
		random := rand.New(rand.NewPCG(1, uint64(start)))
		l := newLane[int](50) // rounded up to 64
		l.next, l.seen = start, start
		l.put.Store(start)
		l.taken.Store(start)
		var hidden, visible []int
		for i := range 20000 {
			switch random.IntN(4) {
			case 0, 1:
				room := len(hidden)+len(visible) < 64
				if l.push(i) != room {
					t.Fatalf("step %d: pushed %v with %d in it", i, !room, len(hidden)+len(visible))
				}
				if room {
					hidden = append(hidden, i)
				}
			case 2:
				if l.publish() != (len(hidden) > 0) {
					t.Fatalf("step %d: published with %d hidden", i, len(hidden))
				}
				visible, hidden = append(visible, hidden...), nil
			default:
				out := make([]int, random.IntN(20))
				n := min(len(out), len(visible))
				if got := l.take(out); got != n || !slices.Equal(out[:got], visible[:n]) {
					t.Fatalf("step %d: took %v of %v", i, out[:got], visible)
				}
				visible = visible[n:]
			}
			if l.len() != len(visible) {
				t.Fatalf("step %d: %d wait, want %d", i, l.len(), len(visible))
			}
		}
	}
}

func TestALaneLosesNothingBetweenTwoThreads(t *testing.T) {
	const items = 200_000
	l := newLane[int](256)
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; i < items; {
			if l.push(i) {
				i++
			} else {
				l.publish()
			}
			if i%50 == 0 {
				l.publish()
			}
		}
		l.publish()
	})
	var out [64]int
	for want := 0; want < items; {
		for _, got := range out[:l.take(out[:])] {
			if got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
			want++
		}
	}
	group.Wait()
}

func TestALaneAllocatesNothing(t *testing.T) {
	l := newLane[handed](64)
	var out [64]handed
	if n := testing.AllocsPerRun(100, func() {
		for range 60 {
			l.push(handed{nic: 1})
		}
		l.publish()
		l.take(out[:])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
