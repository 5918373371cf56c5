package scheduler

import "math/bits"

// least takes the usable server with the least load. Of equals it takes the
// first in the list, which is the newest.
type least struct{ measure func(*Server) load }

func (l least) Pick(servers []Server, _ Key) int {
	best := nobody
	for i := range servers {
		if servers[i].usable() {
			best.orLess(i, l.measure(&servers[i]))
		}
	}
	return best.index
}

func (least) Update([]Server) {}

// load is the fraction work/weight of a server whose weight is above 0.
type load struct{ work, weight uint64 }

// connections is the load that lc compares. An active connection weighs as
// much as 256 inactive ones.
func connections(s *Server) load {
	active, inactive := s.Counts.Active.Load(), s.Counts.Inactive.Load()
	return load{uint64(max(active, 0))<<8 + uint64(max(inactive, 0)), 1}
}

// weightedConnections is the load that wlc compares.
func weightedConnections(s *Server) load {
	return load{connections(s).work, uint64(s.Weight)}
}

// expectedDelay is the load that sed compares: active connections, the new
// one among them.
func expectedDelay(s *Server) load {
	return load{uint64(max(s.Counts.Active.Load(), 0)) + 1, uint64(s.Weight)}
}

// delayUnlessIdle is the load that nq compares: with an idle server nobody
// waits, whatever its weight.
func delayUnlessIdle(s *Server) load {
	if s.Counts.Active.Load() <= 0 {
		return load{0, 1}
	}
	return expectedDelay(s)
}

// below compares without dividing. The products need more than 64 bits at the
// highest weights.
func (l load) below(other load) bool {
	hi, lo := bits.Mul64(l.work, other.weight)
	otherHi, otherLo := bits.Mul64(other.work, l.weight)
	return hi < otherHi || hi == otherHi && lo < otherLo
}

// choice is the best server among those offered so far.
type choice struct {
	index int
	load  load
}

var nobody = choice{index: -1}

// orLess takes the server i if it has less load than the choice so far.
func (c *choice) orLess(i int, l load) {
	if c.index < 0 || l.below(c.load) {
		*c = choice{i, l}
	}
}

// orMore takes the server i if it has more load than the choice so far.
func (c *choice) orMore(i int, l load) {
	if c.index < 0 || c.load.below(l) {
		*c = choice{i, l}
	}
}
