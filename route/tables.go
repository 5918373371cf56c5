package route

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// space names a routing table: the tables of IPv4 and IPv6 are apart.
type space struct {
	v6 bool
	id uint32
}

// tables are the routes of the namespace. They belong to one goroutine; the
// bart tables in them are also read by snapshots, so they are copied on write
// once they have been published.
type tables struct {
	all   map[space]*table
	paths *paths
}

// table is one routing table.
type table struct {
	best    *bart.Table[uint32]       // prefix to path number
	rivals  map[netip.Prefix][]uint32 // all paths of a prefix that has several, best first
	doubles map[netip.Prefix]struct{} // what a dump has listed a path of twice
}

// order says where a new route goes among rivals of its own metric.
type order uint8

const (
	last    order = iota // appended, and as dumps list them
	first                // `ip route prepend`
	instead              // takes the place of the first one
)

func newTables(p *paths) *tables { return &tables{all: map[space]*table{}, paths: p} }

func (t *tables) table(s space) *table {
	found := t.all[s]
	if found == nil {
		found = &table{best: &bart.Table[uint32]{}, rivals: map[netip.Prefix][]uint32{}, doubles: map[netip.Prefix]struct{}{}}
		t.all[s] = found
	}
	return found
}

// load adds a route of a dump, in place: nobody else reads these tables yet.
func (t *tables) load(r *route) {
	tab := t.table(space{r.path.v6, r.table})
	n := t.paths.number(&r.path)
	old, found := tab.best.Get(r.prefix)
	if !found {
		tab.best.Insert(r.prefix, n)
		return
	}
	if old == n || slices.Contains(tab.rivals[r.prefix], n) {
		tab.doubles[r.prefix] = struct{}{}
	}
	t.rank(tab, r.prefix, old, n, last)
	tab.best.Insert(r.prefix, tab.winner(r.prefix, old))
}

// add applies a new route; how says where it goes among its equals.
func (t *tables) add(r *route, how order) {
	tab := t.table(space{r.path.v6, r.table})
	n := t.paths.number(&r.path)
	old, found := tab.best.Get(r.prefix)
	if found {
		t.rank(tab, r.prefix, old, n, how)
		n = tab.winner(r.prefix, n)
	}
	if !found || n != old {
		tab.best = tab.best.InsertPersist(r.prefix, n)
	}
}

// rank puts path n among the rivals of p, of which old is the best.
func (t *tables) rank(tab *table, p netip.Prefix, old, n uint32, how order) {
	list := tab.rivals[p]
	if list == nil {
		list = []uint32{old}
	}
	if slices.Contains(list, n) { // an event that the dump had foreseen
		t.paths.release(n)
		return
	}
	metric := t.paths.all[n].metric
	at := slices.IndexFunc(list, func(o uint32) bool {
		m := t.paths.all[o].metric
		return m > metric || how != last && m == metric
	})
	switch {
	case at < 0:
		list = append(list, n)
	case how == instead && t.paths.all[list[at]].metric == metric:
		t.paths.release(list[at])
		list[at] = n
	default:
		list = slices.Insert(list, at, n)
	}
	tab.rivals[p] = list
}

// winner returns the best path of p; alone is it if p has no rivals. A list of
// one is put away.
func (tab *table) winner(p netip.Prefix, alone uint32) uint32 {
	list := tab.rivals[p]
	if len(list) == 0 {
		return alone
	}
	if len(list) == 1 {
		delete(tab.rivals, p)
	}
	return list[0]
}

// standing reports whether r itself is there, how many other routes of its
// prefix have its metric, and whether one of all these has several hops.
func (t *tables) standing(r *route) (same bool, equals int, joined bool) {
	tab := t.all[space{r.path.v6, r.table}]
	if tab == nil {
		return false, 0, false
	}
	best, found := tab.best.Get(r.prefix)
	if !found {
		return false, 0, false
	}
	list := tab.rivals[r.prefix]
	if list == nil {
		list = []uint32{best}
	}
	own, known := t.paths.find(&r.path)
	for _, n := range list {
		p := &t.paths.all[n]
		if p.metric != r.path.metric {
			continue
		}
		if joined = joined || len(p.hops) > 1; known && n == own {
			same = true
		} else {
			equals++
		}
	}
	return same, equals, joined
}

// doubled reports whether the kernel may have a route of r's prefix twice: one
// that goes leaves its like.
func (t *tables) doubled(r *route) bool {
	tab := t.all[space{r.path.v6, r.table}]
	if tab == nil {
		return false
	}
	_, twice := tab.doubles[r.prefix]
	return twice
}

// remove takes a route away and reports whether it was there.
func (t *tables) remove(r *route) bool {
	tab := t.all[space{r.path.v6, r.table}]
	n, known := t.paths.find(&r.path)
	if tab == nil || !known {
		return false
	}
	best, found := tab.best.Get(r.prefix)
	list := tab.rivals[r.prefix]
	at := slices.Index(list, n)
	switch {
	case !found, list == nil && best != n, list != nil && at < 0:
		return false
	case list == nil:
		tab.best = tab.best.DeletePersist(r.prefix)
	default:
		tab.rivals[r.prefix] = slices.Delete(list, at, at+1)
		if now := tab.winner(r.prefix, best); now != best {
			tab.best = tab.best.InsertPersist(r.prefix, now)
		}
	}
	t.paths.release(n)
	return true
}

// drop forgets the routes of one family, for a dump that begins anew.
func (t *tables) drop(v6 bool) {
	part := &tables{all: map[space]*table{}, paths: t.paths}
	for s, tab := range t.all {
		if s.v6 == v6 {
			part.all[s] = tab
			delete(t.all, s)
		}
	}
	part.release()
}

// same reports whether both hold the same routes.
func (t *tables) same(o *tables) bool {
	return maps.EqualFunc(t.all, o.all, func(a, b *table) bool {
		return a.best.Equal(b.best) && maps.EqualFunc(a.rivals, b.rivals, slices.Equal[[]uint32])
	})
}

// release gives back every use of a path that these tables make.
func (t *tables) release() {
	for _, tab := range t.all {
		for p, n := range tab.best.All() {
			if tab.rivals[p] == nil {
				t.paths.release(n)
			}
		}
		for _, list := range tab.rivals {
			for _, n := range list {
				t.paths.release(n)
			}
		}
	}
}

// paths gives equal paths one number, so that a million routes by three
// gateways are a million numbers and three paths.
type paths struct {
	all     []counted // by number
	numbers map[string]uint32
	free    []uint32
	changed bool // since the last snapshot
	scratch []byte
}

type counted struct {
	path
	uses int
}

func newPaths() *paths { return &paths{numbers: map[string]uint32{}} }

func (ps *paths) find(p *path) (uint32, bool) {
	ps.scratch = p.key(ps.scratch)
	n, ok := ps.numbers[string(ps.scratch)]
	return n, ok
}

// number returns the number of p and counts one more use of it.
func (ps *paths) number(p *path) uint32 {
	n, ok := ps.find(p)
	if ok {
		ps.all[n].uses++
		return n
	}
	if last := len(ps.free) - 1; last >= 0 {
		n, ps.free = ps.free[last], ps.free[:last]
	} else {
		n = uint32(len(ps.all))
		ps.all = append(ps.all, counted{})
	}
	ps.all[n] = counted{path: *p, uses: 1}
	ps.all[n].hops = slices.Clone(p.hops)
	ps.numbers[string(ps.scratch)] = n
	ps.changed = true
	return n
}

// release takes one use of path n away. Older snapshots keep what n meant.
func (ps *paths) release(n uint32) {
	c := &ps.all[n]
	if c.uses--; c.uses > 0 {
		return
	}
	ps.scratch = c.key(ps.scratch)
	delete(ps.numbers, string(ps.scratch))
	*c = counted{}
	ps.free = append(ps.free, n)
}
