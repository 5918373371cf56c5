package scheduler

import "slices"

// slowLocal has a timer that looks every minute, as IPVS has.
type slowLocal struct {
	unmoved
	replicate bool
	cache     map[[16]byte]*slowAddress
	next      uint32 // when the timer runs
	minutes   int
}

type slowAddress struct {
	set           []*node // newest first
	used, changed uint32
}

func newSlowLocal(replicate bool) *slowLocal {
	return &slowLocal{replicate: replicate, cache: map[[16]byte]*slowAddress{}, next: twinKey.Now + 600}
}

func (s *slowLocal) timer(now uint32) {
	for ; int32(now-s.next) >= 0; s.next += 600 {
		if s.minutes++; s.minutes%30 != 0 {
			continue
		}
		for addr, a := range s.cache {
			if s.next-a.used >= 24*60*600 {
				delete(s.cache, addr)
			}
		}
	}
}

func (s *slowLocal) pick(list []*node) *node {
	s.timer(twinKey.Now)
	a := s.cache[twinKey.Dst]
	if a != nil {
		a.used = twinKey.Now
		n := s.known(a, list)
		if n != nil && (n.active <= n.weight || !slices.ContainsFunc(list, func(n *node) bool { return 2*n.active < n.weight })) {
			return n
		}
	}
	n := slowLeast{load: slowWLC}.pick(list)
	if n == nil {
		return nil
	}
	if a == nil {
		a = &slowAddress{used: twinKey.Now, changed: twinKey.Now}
		s.cache[twinKey.Dst] = a
	}
	switch {
	case !s.replicate:
		a.set = []*node{n}
	case !slices.Contains(a.set, n):
		a.set, a.changed = append([]*node{n}, a.set...), twinKey.Now
	}
	return n
}

func (s *slowLocal) known(a *slowAddress, list []*node) *node {
	if !s.replicate {
		if n := a.set[0]; slices.Contains(list, n) && n.weight > 0 {
			return n
		}
		return nil
	}
	present := slices.DeleteFunc(slices.Clone(a.set), func(n *node) bool { return !slices.Contains(list, n) })
	best := slowLeast{load: slowWLC}.pick(present)
	if len(a.set) > 1 && twinKey.Now-a.changed > 24*60*600 {
		var most *node
		for _, n := range a.set {
			if n.weight > 0 && (most == nil || slowWLC(n).Cmp(slowWLC(most)) > 0) {
				most = n
			}
		}
		if most != nil {
			a.set, a.changed = slices.DeleteFunc(a.set, func(n *node) bool { return n == most }), twinKey.Now
		}
	}
	return best
}
