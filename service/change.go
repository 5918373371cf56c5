package service

import (
	"cmp"
	"slices"
)

// Change is one service that differs between two Sets; nil = it is not there.
type Change struct{ Was, Is *Configured }

// Key names the service.
func (c Change) Key() Key {
	if c.Is != nil {
		return c.Is.Key
	}
	return c.Was.Key
}

// Since returns what differs from old, in the order in which the services were
// created. It looks only at what was edited in between. The caller must not
// change what it gets.
func (s *Set) Since(old *Set) []Change {
	var pairs []leafPair
	s.tree.since(old.tree, &pairs)
	slices.SortFunc(pairs, func(a, b leafPair) int { return cmp.Compare(a.number(), b.number()) })
	changes := make([]Change, len(pairs))
	for i, p := range pairs {
		if p.was != nil {
			changes[i].Was = &p.was.Configured
		}
		if p.is != nil {
			changes[i].Is = &p.is.Configured
		}
	}
	return changes
}

type leafPair struct{ was, is *leaf }

func (p leafPair) number() uint64 {
	if p.is != nil {
		return p.is.number
	}
	return p.was.number
}

// since appends the leaves that differ from those of old. Trees that are the
// same are not looked into.
func (t *tree) since(old *tree, pairs *[]leafPair) {
	switch {
	case t == old:
	case t != nil && old != nil && t.branches != nil && old.branches != nil:
		for i := range t.branches {
			t.branches[i].since(old.branches[i], pairs)
		}
	default:
		is, was := t.appendTo(nil), old.appendTo(nil)
		before := make(map[Key]*leaf, len(was))
		for _, x := range was {
			before[x.Key] = x
		}
		for _, x := range is {
			if y := before[x.Key]; y != x {
				*pairs = append(*pairs, leafPair{y, x})
			}
			delete(before, x.Key)
		}
		for _, x := range before {
			*pairs = append(*pairs, leafPair{x, nil})
		}
	}
}
