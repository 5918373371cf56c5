package scheduler

import "sync/atomic"

// Counts are the connections of one server, counted by all workers, and
// whether they are too many. The zero Counts has no thresholds.
//
// Begin, End and Change take no lock. Where Begin is called under the lock of
// the service, an upper threshold is never passed.
type Counts struct {
	Active, Inactive atomic.Int32

	all        atomic.Int32  // both; a change from one to the other is not seen in it
	thresholds atomic.Uint64 // upper<<32 | lower
	overloaded atomic.Bool
}

// Begin counts a new connection.
func (c *Counts) Begin(active bool) {
	c.of(active).Add(1)
	c.all.Add(1)
	if c.thresholds.Load() != 0 {
		c.judge()
	}
}

// End takes off a connection that is gone.
func (c *Counts) End(active bool) {
	c.of(active).Add(-1)
	c.all.Add(-1)
	if c.overloaded.Load() {
		c.judge()
	}
}

// Change notes that a connection became active, or stopped being so.
func (c *Counts) Change(active bool) {
	c.of(active).Add(1)
	c.of(!active).Add(-1)
}

// None reports whether there is no connection. Active and Inactive, read one
// after the other, may both miss one that changes.
func (c *Counts) None() bool { return c.all.Load() <= 0 }

func (c *Counts) of(active bool) *atomic.Int32 {
	if active {
		return &c.Active
	}
	return &c.Inactive
}

// Overloaded reports whether a threshold forbids new connections for now.
func (c *Counts) Overloaded() bool { return c.overloaded.Load() }

// SetThresholds sets how many connections overload the server and below how
// many it has recovered. An upper threshold of 0 is none, a lower one of 0
// stands for three quarters of the upper. As with IPVS a higher limit, or
// none, relieves the server at once; a lower one holds from its next
// connection on.
func (c *Counts) SetThresholds(upper, lower uint32) {
	was := uint32(c.thresholds.Swap(uint64(upper)<<32|uint64(lower)) >> 32)
	if upper == 0 || upper > was {
		c.overloaded.Store(false)
	}
}

// judge looks again after it changed the flag: an End at the same time sees
// either the changed flag here or has lowered the count before the next look.
func (c *Counts) judge() {
	for {
		was := c.overloaded.Load()
		t := c.thresholds.Load()
		now := overloads(was, c.all.Load(), uint32(t>>32), uint32(t))
		if now == was {
			return
		}
		c.overloaded.Store(now)
	}
}

// overloads tells whether a server with that many connections is overloaded:
// from the upper threshold on, and once it was, down to the lower one.
func overloads(was bool, conns int32, upper, lower uint32) bool {
	n := uint32(max(conns, 0))
	if upper == 0 || n >= upper {
		return upper != 0
	}
	if lower == 0 {
		lower = upper - upper/4
	}
	return was && n >= lower
}
