package scheduler

import "math/rand/v2"

// twos draws two servers by weight and takes the one with less load for its
// weight, the first drawn if they are alike.
type twos struct{ random *rand.PCG }

func newTwos(o *options) Scheduler { return &twos{rand.NewPCG(o.seed, o.seed)} }

func (t *twos) Pick(servers []Server, _ Key) int {
	sum := uint64(0)
	for i := range servers {
		if servers[i].usable() {
			sum += uint64(servers[i].Weight)
		}
	}
	if sum == 0 {
		return -1
	}
	first, second := draw(servers, t.number(sum)), draw(servers, t.number(sum))
	if first < 0 || second < 0 {
		return max(first, second) // a server was overloaded in between
	}
	best := choice{first, weightedConnections(&servers[first])}
	best.orLess(second, weightedConnections(&servers[second]))
	return best.index
}

func (*twos) Update([]Server) {}

// number returns one of 0 ... sum, from 32 random bits as IPVS does.
func (t *twos) number(sum uint64) uint64 { return t.random.Uint64() >> 32 % (sum + 1) }

// draw returns the first usable server with which the weights reach n. The
// first in the list has one chance more than its weight, for 0.
func draw(servers []Server, n uint64) int {
	for i := range servers {
		if !servers[i].usable() {
			continue
		}
		weight := uint64(servers[i].Weight)
		if n <= weight {
			return i
		}
		n -= weight
	}
	return -1
}
