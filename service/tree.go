package service

import (
	"hash/maphash"
	"slices"
)

// tree finds services by key. It is never changed: with and without return
// another tree, which shares all but one path with the old one, so a copy of
// a Set costs nothing. The nil tree is empty.
type tree struct {
	branches *[fan]*tree // nil: a leaf
	leaves   []*leaf
}

const (
	fanBits = 4
	fan     = 1 << fanBits
	full    = 8            // leaves that make a tree branch
	deepest = 64 / fanBits // levels that a hash is enough for
)

// leaf is one service. It is never changed either.
type leaf struct {
	Configured
	hash   uint64
	number uint64 // in the order of creation
}

var seed = maphash.MakeSeed()

func hashOf(k Key) uint64 { return maphash.Comparable(seed, k) }

func branch(hash uint64, level int) uint64 { return hash >> (fanBits * level) % fan }

func (t *tree) find(k Key) *leaf {
	for hash := hashOf(k); t != nil && t.branches != nil; hash >>= fanBits {
		t = t.branches[hash%fan]
	}
	if t != nil {
		if i := t.index(k); i >= 0 {
			return t.leaves[i]
		}
	}
	return nil
}

func (t *tree) index(k Key) int {
	return slices.IndexFunc(t.leaves, func(x *leaf) bool { return x.Key == k })
}

// with returns the tree with x in the place of the service of that key.
func (t *tree) with(x *leaf, level int) *tree {
	if t == nil {
		return &tree{leaves: []*leaf{x}}
	}
	if t.branches != nil {
		branches := *t.branches
		b := &branches[branch(x.hash, level)]
		*b = (*b).with(x, level+1)
		return &tree{branches: &branches}
	}
	if i := t.index(x.Key); i >= 0 {
		leaves := slices.Clone(t.leaves)
		leaves[i] = x
		return &tree{leaves: leaves}
	}
	if len(t.leaves) < full || level == deepest {
		return &tree{leaves: append(slices.Clip(t.leaves), x)}
	}
	wide := &tree{branches: new([fan]*tree)}
	for _, y := range t.leaves {
		b := &wide.branches[branch(y.hash, level)]
		*b = (*b).with(y, level+1)
	}
	return wide.with(x, level)
}

// without returns the tree without x, which is in it.
func (t *tree) without(x *leaf, level int) *tree {
	if t.branches == nil {
		leaves := slices.DeleteFunc(slices.Clone(t.leaves), func(y *leaf) bool { return y == x })
		if len(leaves) == 0 {
			return nil
		}
		return &tree{leaves: leaves}
	}
	branches := *t.branches
	b := &branches[branch(x.hash, level)]
	*b = (*b).without(x, level+1)
	if branches == [fan]*tree{} {
		return nil
	}
	return &tree{branches: &branches}
}

// appendTo appends all leaves to list.
func (t *tree) appendTo(list []*leaf) []*leaf {
	if t == nil {
		return list
	}
	list = append(list, t.leaves...)
	if t.branches != nil {
		for _, b := range t.branches {
			list = b.appendTo(list)
		}
	}
	return list
}
