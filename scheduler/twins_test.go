package scheduler

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// slow is a scheduler written down as plainly as possible, told each edit.
type slow interface {
	pick(list []*node) *node
	added(list []*node, n *node)
	edited(list []*node)
	deleted(list []*node, n, before *node) // before is nil for the first
}

type node struct {
	id, host                uint32 // host stands for its address
	weight, active, passive int
	overloaded              bool
}

// slowRR remembers the server itself; nil is the head of the list.
type slowRR struct{ last *node }

func (s *slowRR) added([]*node, *node) {}
func (s *slowRR) edited([]*node)       {}
func (s *slowRR) deleted(_ []*node, n, before *node) {
	if s.last == n {
		s.last = before
	}
}

func (s *slowRR) pick(list []*node) *node {
	i := slices.Index(list, s.last)
	round := append(slices.Clone(list[i+1:]), list[:i+1]...)
	for _, n := range round {
		if n.weight > 0 && !n.overloaded {
			s.last = n
			return n
		}
	}
	return nil
}

// slowWRR goes through the levels one by one.
type slowWRR struct {
	last             *node
	level, step, top int
}

func (s *slowWRR) added(list []*node, _ *node)      { s.edited(list) }
func (s *slowWRR) deleted(list []*node, _, _ *node) { s.edited(list) }
func (s *slowWRR) edited(list []*node) {
	s.last, s.step, s.top = nil, 1, 0
	for step := 1; ; step++ { // the largest number that divides all
		biggest, all := 0, true
		for _, n := range list {
			biggest = max(biggest, n.weight)
			all = all && n.weight%step == 0
		}
		if step > biggest {
			break
		}
		if all {
			s.step, s.top = step, biggest-step+1
		}
	}
	if s.level == 0 || s.level > s.top {
		s.level = s.top
	} else if s.step > 1 {
		s.level = s.level - s.level%s.step + 1
	}
}

func (s *slowWRR) pick(list []*node) *node {
	if s.top == 0 {
		return nil
	}
	first, firstLevel := s.last, s.level
	i := slices.Index(list, s.last) + 1
	for steps := 0; ; steps++ {
		if i == len(list) {
			s.last, i = nil, 0
			if s.level -= s.step; s.level <= 0 {
				s.level = s.top
				if firstLevel > 1 || first == nil {
					return nil // all were asked at level 1
				}
			}
		}
		if n := list[i]; n.weight >= s.level && !n.overloaded {
			s.last = n
			return n
		}
		if list[i] == first && firstLevel == 1 && s.level == 1 && steps > 0 {
			s.last = first
			return nil
		}
		i++
	}
}

// slowMH builds every server's whole permutation and knows the last weights.
type slowMH struct {
	kept     map[uint32]int
	owner    [slots]*node
	fallback bool
}

func (s *slowMH) added(list []*node, n *node)      { s.kept[n.id] = n.weight; s.fill(list) }
func (s *slowMH) deleted(list []*node, n, _ *node) { delete(s.kept, n.id); s.fill(list) }
func (s *slowMH) edited(list []*node) {
	for _, n := range list {
		if n.weight > 0 {
			s.kept[n.id] = n.weight
		}
	}
	s.fill(list)
}

func (s *slowMH) fill(list []*node) {
	s.owner = [slots]*node{}
	divisor, heaviest := 0, 0
	for _, n := range list {
		divisor, heaviest = gcd(divisor, s.kept[n.id]), max(heaviest, s.kept[n.id])
	}
	if divisor == 0 {
		return
	}
	halvings := 0 // the weights in 6 bits
	for heaviest/divisor>>halvings > 63 {
		halvings++
	}
	wishes := map[*node][]int{}
	for _, n := range list {
		sum := 0x0a000000 + n.host + 80
		offset, skip := sipHash13(sum, offsetKey, offsetKey)%slots, sipHash13(sum, skipKey, skipKey)%(slots-1)+1
		for i := range slots {
			wishes[n] = append(wishes[n], (int(offset)+i*int(skip))%slots)
		}
	}
	for filled := 0; ; {
		for _, n := range list {
			turns := 0
			if s.kept[n.id] > 0 {
				turns = max(1, s.kept[n.id]/divisor>>halvings)
			}
			for ; turns > 0; turns-- {
				for s.owner[wishes[n][0]] != nil {
					wishes[n] = wishes[n][1:]
				}
				s.owner[wishes[n][0]] = n
				if filled++; filled == slots {
					return
				}
			}
		}
	}
}

// twinKey is the connection that both are asked about.
var twinKey = Key{
	Src: [16]byte{10: 0xff, 11: 0xff, 12: 198, 13: 18}, Dst: [16]byte{10: 0xff, 11: 0xff, 12: 192, 14: 2},
}

func (s *slowMH) pick([]*node) *node {
	sum := fold(twinKey.Src)
	slot := sipHash13(sum, offsetKey, offsetKey) % slots
	n := s.owner[slot]
	for i := uint32(0); s.fallback && i < slots && n != nil && (n.weight == 0 || n.overloaded); i++ {
		n = s.owner[sipHash13(sum+(slot+i)%slots, offsetKey, offsetKey)%slots]
	}
	if n == nil || n.weight == 0 || n.overloaded {
		return nil
	}
	return n
}

func TestSchedulersChooseLikeTheirSlowTwins(t *testing.T) {
	for name, test := range map[string]struct {
		twin  func() slow
		edits int
	}{
		"rr":             {func() slow { return &slowRR{} }, 10000},
		"wrr":            {func() slow { return &slowWRR{step: 1} }, 10000},
		"lc":             {func() slow { return slowLeast{load: slowLC} }, 3000},
		"wlc":            {func() slow { return slowLeast{load: slowWLC} }, 3000},
		"sed":            {func() slow { return slowLeast{load: slowSED} }, 3000},
		"nq":             {func() slow { return slowLeast{load: slowNQ} }, 3000},
		"fo":             {func() slow { return slowHeaviest{} }, 3000},
		"ovf":            {func() slow { return slowHeaviest{spill: true} }, 3000},
		"twos":           {func() slow { return &slowTwos{random: rand.NewPCG(5, 5)} }, 800},
		"dh":             {func() slow { return &slowBuckets{key: func() uint32 { return fold(twinKey.Dst) }} }, 2000},
		"sh":             {func() slow { return &slowBuckets{weighted: true, key: slowSource} }, 2000},
		"sh sh-fallback": {func() slow { return &slowBuckets{weighted: true, key: slowSource, fallback: true} }, 2000},
		"sh sh-port":     {func() slow { return &slowBuckets{weighted: true, key: slowSourcePort} }, 2000},
		"lblc":           {func() slow { return newSlowLocal(false) }, 5000},
		"lblcr":          {func() slow { return newSlowLocal(true) }, 5000},
		"mh":             {func() slow { return &slowMH{kept: map[uint32]int{}} }, 60},
		"mh mh-fallback": {func() slow { return &slowMH{kept: map[uint32]int{}, fallback: true} }, 60},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(10) {
				twinKey.Now = uint32(seed) * 0x1999_9999 // the clock may wrap
				s, err := New(strings.Fields(name)[0], strings.Fields(name)[1:], Seed(5), Since(twinKey.Now))
				if err != nil {
					t.Fatal(err)
				}
				c := &comparison{t: t, r: rand.New(rand.NewPCG(seed, 7)), fast: s, twin: test.twin()}
				for range test.edits / 10 {
					c.edit()
					c.compare()
				}
			}
		})
	}
}

// comparison keeps one list in two forms.
type comparison struct {
	t       *testing.T
	r       *rand.Rand
	fast    Scheduler
	twin    slow
	list    []*node
	gone    []*node
	servers []Server
	nextID  uint32
}

var twinWeights = []int{0, 0, 1, 1, 2, 3, 4, 6, 10, 15, 100, 700}

func (c *comparison) edit() {
	weight := twinWeights[c.r.IntN(len(twinWeights))]
	switch op := c.r.IntN(5); {
	case len(c.list) == 0 || op < 2 && len(c.list) < 12:
		c.nextID++
		n := &node{id: c.nextID, host: c.nextID}
		if i := len(c.gone) - 1; i >= 0 && c.r.IntN(2) == 0 {
			// It comes back: the old server by a new name.
			n, c.gone = c.gone[i], c.gone[:i]
			n.id = c.nextID
		}
		n.weight = weight
		c.list = append([]*node{n}, c.list...)
		c.twin.added(c.list, n)
	case op < 4:
		c.list[c.r.IntN(len(c.list))].weight = weight
		c.twin.edited(c.list)
	default:
		i := c.r.IntN(len(c.list))
		n, before := c.list[i], (*node)(nil)
		if i > 0 {
			before = c.list[i-1]
		}
		c.list, c.gone = slices.Delete(slices.Clone(c.list), i, i+1), append(c.gone, n)
		c.twin.deleted(c.list, n, before)
	}
	c.servers = nil
	for _, n := range c.list {
		c.servers = append(c.servers, serverOf(n))
	}
	c.fast.Update(c.servers)
}

func serverOf(n *node) Server {
	s := Server{ID: n.id, Weight: n.weight, Counts: new(Counts), Port: 80, Addr: twinAddr(n.host)}
	s.Counts.Active.Store(int32(n.active))
	s.Counts.Inactive.Store(int32(n.passive))
	s.Counts.overloaded.Store(n.overloaded)
	return s
}

func (c *comparison) compare() {
	c.t.Helper()
	for range c.r.IntN(30) {
		if c.r.IntN(4) == 0 {
			i := c.r.IntN(len(c.list) + 1)
			if i < len(c.list) {
				c.list[i].overloaded = !c.list[i].overloaded
				c.servers[i].Counts.overloaded.Store(c.list[i].overloaded)
			}
		}
		if c.r.IntN(10) == 0 {
			twinKey.Src[15], twinKey.Src[14] = byte(c.r.Uint32()), byte(c.r.Uint32())
			twinKey.SrcPort = uint16(c.r.Uint32())
		}
		twinKey.Dst[15] = byte(c.r.IntN(5))
		twinKey.Now += uint32(c.r.IntN(3) * c.r.IntN(40) * c.r.IntN(6000)) // 20 hours at most
		got, want := c.fast.Pick(c.servers, twinKey), slices.Index(c.list, c.twin.pick(c.list))
		if got != want {
			c.t.Fatalf("chose %d, the slow twin %d, of %+v", got, want, c.servers)
		}
		if got >= 0 {
			c.count(got)
		}
	}
}

// count adds a connection to a server and now and then takes others off.
func (c *comparison) count(i int) {
	n := c.list[i]
	if c.r.IntN(2) == 0 {
		n.active++
	} else {
		n.passive++
	}
	if c.r.IntN(8) == 0 {
		n.active, n.passive = c.r.IntN(n.active+1), c.r.IntN(n.passive+1)
	}
	c.servers[i].Counts.Active.Store(int32(n.active))
	c.servers[i].Counts.Inactive.Store(int32(n.passive))
}
