package scheduler

import (
	"math/big"
	"math/rand/v2"
)

// unmoved is a twin that learns nothing from edits.
type unmoved struct{}

func (unmoved) added([]*node, *node)          {}
func (unmoved) edited([]*node)                {}
func (unmoved) deleted([]*node, *node, *node) {}

func (n *node) usable() bool { return n.weight > 0 && !n.overloaded }

// slowLeast divides.
type slowLeast struct {
	unmoved
	load func(*node) *big.Rat
}

func (s slowLeast) pick(list []*node) (best *node) {
	for _, n := range list {
		if n.usable() && (best == nil || s.load(n).Cmp(s.load(best)) < 0) {
			best = n
		}
	}
	return best
}

func slowLC(n *node) *big.Rat  { return big.NewRat(int64(256*n.active+n.passive), 1) }
func slowWLC(n *node) *big.Rat { return big.NewRat(int64(256*n.active+n.passive), int64(n.weight)) }
func slowSED(n *node) *big.Rat { return big.NewRat(int64(n.active+1), int64(n.weight)) }
func slowNQ(n *node) *big.Rat {
	if n.active == 0 {
		return new(big.Rat)
	}
	return slowSED(n)
}

// slowHeaviest asks every server whether another one beats it.
type slowHeaviest struct {
	unmoved
	spill bool
}

func (s slowHeaviest) pick(list []*node) *node {
	free := func(n *node) bool { return n.usable() && (!s.spill || n.active <= n.weight) }
	for _, n := range list {
		best := free(n)
		for _, other := range list {
			best = best && !(free(other) && other.weight > n.weight)
		}
		if best {
			return n
		}
	}
	return nil
}

// slowTwos puts a ticket for every unit of weight into an urn, and one more
// for the first server.
type slowTwos struct {
	unmoved
	random *rand.PCG
}

func (s *slowTwos) pick(list []*node) *node {
	var urn []*node
	for _, n := range list {
		for i := 0; n.usable() && (i < n.weight || len(urn) == n.weight && i == n.weight); i++ {
			urn = append(urn, n)
		}
	}
	if urn == nil {
		return nil
	}
	first := urn[s.random.Uint64()>>32%uint64(len(urn))]
	second := urn[s.random.Uint64()>>32%uint64(len(urn))]
	if slowWLC(second).Cmp(slowWLC(first)) < 0 {
		return second
	}
	return first
}

// slowBuckets writes down who has which of 256 places.
type slowBuckets struct {
	weighted, fallback bool
	key                func() uint32
	places             []*node
}

func slowSource() uint32     { return fold(twinKey.Src) }
func slowSourcePort() uint32 { return fold(twinKey.Src) + uint32(twinKey.SrcPort) }

func (s *slowBuckets) added(list []*node, _ *node)      { s.edited(list) }
func (s *slowBuckets) deleted(list []*node, _, _ *node) { s.edited(list) }
func (s *slowBuckets) edited(list []*node) {
	s.places = nil
	for len(list) > 0 && len(s.places) < 256 {
		for _, n := range list {
			s.places = append(s.places, n)
			for i := 1; s.weighted && i < n.weight; i++ {
				s.places = append(s.places, n)
			}
		}
	}
}

func (s *slowBuckets) pick([]*node) *node {
	if s.places == nil {
		return nil
	}
	home := s.key() * 0x61c88647 >> 24
	if n := s.places[home]; n.usable() {
		return n
	}
	for i := uint32(0); s.fallback && i < 256; i++ {
		if n := s.places[(home+(home+i)%256)%256]; n.usable() {
			return n
		}
	}
	return nil
}
