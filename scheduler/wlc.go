package scheduler

import "math/bits"

// wlc takes the server with the least load for its weight; an active
// connection weighs as much as 256 inactive ones. Of equals the first in the
// list, which is the newest, is taken.
type wlc struct{}

func (wlc) Pick(servers []Server, _ Key) int {
	best, bestLoad := -1, uint64(0)
	for i := range servers {
		if !servers[i].usable() {
			continue
		}
		load := servers[i].load()
		if best < 0 || lighter(load, servers[i].Weight, bestLoad, servers[best].Weight) {
			best, bestLoad = i, load
		}
	}
	return best
}

func (wlc) Update([]Server) {}

func (s *Server) load() uint64 {
	active, inactive := s.Counts.Active.Load(), s.Counts.Inactive.Load()
	return uint64(max(active, 0))<<8 + uint64(max(inactive, 0))
}

// lighter compares the quotients loadA/weightA < loadB/weightB without
// dividing. The products need more than 64 bits at the highest weights.
func lighter(loadA uint64, weightA int, loadB uint64, weightB int) bool {
	hiA, loA := bits.Mul64(loadA, uint64(weightB))
	hiB, loB := bits.Mul64(loadB, uint64(weightA))
	return hiA < hiB || hiA == hiB && loA < loB
}
