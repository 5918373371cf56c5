package scheduler

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// The recording thresholds: -x 2, and -x 4 -y 2. Closed connections still
// count until they are forgotten.
func TestThresholdsHoldAsRecorded(t *testing.T) {
	for _, name := range []string{"rr", "wrr", "wlc", "lc"} {
		b := newBench(t, name, 1, 1)
		first, second := b.servers[b.index(1)].Counts, b.servers[b.index(2)].Counts
		first.SetThresholds(2, 0)
		second.SetThresholds(4, 2)
		want := func(sequence string) {
			t.Helper()
			var got []string
			for range strings.Fields(sequence) {
				got = append(got, b.connect(netip.MustParseAddrPort("203.0.113.10:11001"), true))
			}
			if got := strings.Join(got, " "); got != sequence {
				t.Errorf("%s chose %s, not %s", name, got, sequence)
			}
		}
		want("rs2 rs1 rs2 rs1 rs2 rs2 ERR ERR")
		for range 2 {
			first.Change(false)
		}
		for range 4 {
			second.Change(false)
		}
		want("ERR ERR ERR ERR")
		second.End(false)
		second.End(false)
		want("ERR") // 2 are not fewer than 2
		second.End(false)
		want("rs2 rs2 rs2 ERR")
	}
}

func TestOverloadBeginsAtTheUpperAndEndsBelowTheLowerThreshold(t *testing.T) {
	for _, test := range []struct {
		upper, lower uint32
		begins, ends int32 // overloaded from, no longer at
	}{
		{1, 0, 1, 0}, {2, 0, 2, 1}, {3, 0, 3, 2}, {4, 0, 4, 2}, {5, 0, 5, 3}, {7, 0, 7, 5}, {8, 0, 8, 5}, {100, 0, 100, 74},
		{4, 2, 4, 1}, {4, 4, 4, 3}, {10, 1, 10, 0}, {1<<31 - 1, 0, 1<<31 - 1, 1610612735},
	} {
		for conns, was := range map[int32]bool{test.begins: false, test.begins - 1: false, test.ends: true, test.ends + 1: true} {
			want := conns == test.begins || conns == test.ends+1
			if conns == test.ends+1 && conns == test.begins {
				want = true
			}
			if got := overloads(was, conns, test.upper, test.lower); got != want {
				t.Errorf("-x %d -y %d, %d connections, before %v: %v", test.upper, test.lower, conns, was, got)
			}
		}
	}
	if overloads(true, 1000, 0, 0) || overloads(true, -1, 5, 0) {
		t.Error("no threshold, or no connection, is no overload")
	}
}

// As in the kernel: internal/oracle has it recorded.
func TestAHigherThresholdRelievesAtOnceALowerOneHoldsFromTheNextConnectionOn(t *testing.T) {
	var c Counts
	for range 10 {
		c.Begin(true)
	}
	for _, step := range []struct {
		upper, lower uint32
		want, then   bool // at once, and with one connection more
	}{
		{10, 0, false, true}, {10, 0, true, true}, {9, 1, true, true}, {12, 0, false, false},
		{20, 0, false, false}, {11, 0, false, true}, {0, 0, false, false}, {5, 5, false, true}, {4, 4, true, true},
	} {
		if c.SetThresholds(step.upper, step.lower); c.Overloaded() != step.want {
			t.Errorf("-x %d -y %d: %v", step.upper, step.lower, c.Overloaded())
		}
		if c.Begin(true); c.Overloaded() != step.then {
			t.Errorf("-x %d -y %d and one more: %v", step.upper, step.lower, c.Overloaded())
		}
		c.End(true)
	}
}

// Workers begin under a lock and end without it, as a director's do.
func TestManyWorkersNeverPassTheUpperThresholdAndNeverLoseTheFlag(t *testing.T) {
	const upper = 5
	var c Counts
	var lock sync.Mutex
	var workers sync.WaitGroup
	c.SetThresholds(upper, 2)
	for seed := range uint64(4) {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			var mine []bool
			for range 20000 {
				lock.Lock()
				if !c.Overloaded() {
					c.Begin(true)
					mine = append(mine, true)
				}
				if n := c.all.Load(); n > upper {
					t.Errorf("%d connections", n)
				}
				lock.Unlock()
				for i := range mine {
					if r.IntN(4) == 0 {
						mine[i] = !mine[i]
						c.Change(mine[i])
					}
				}
				for len(mine) > 0 && r.IntN(3) > 0 {
					c.End(mine[0])
					mine = mine[1:]
				}
			}
			for _, active := range mine {
				c.End(active)
			}
		})
	}
	workers.Wait()
	if c.Overloaded() || c.Active.Load() != 0 || c.Inactive.Load() != 0 || c.all.Load() != 0 {
		t.Errorf("left: %d + %d of %d, overloaded %v", c.Active.Load(), c.Inactive.Load(), c.all.Load(), c.Overloaded())
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	var c Counts
	c.SetThresholds(1, 0)
	if n := testing.AllocsPerRun(100, func() { c.Begin(true); c.Change(false); c.End(false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCounts(b *testing.B) {
	for name, upper := range map[string]uint32{"free": 0, "watched": 1000, "overloading": 1} {
		b.Run(name, func(b *testing.B) {
			var c Counts
			c.SetThresholds(upper, 0)
			b.ReportAllocs()
			for b.Loop() {
				c.Begin(true)
				c.End(true)
			}
		})
	}
}
