package lvx

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/lvx-lb/lvx/route"
	"github.com/lvx-lb/lvx/service"
)

// vips sees to it that the addresses of services are the director's. They
// belong to the administrator or keepalived; with Config.AddVIPs missing ones
// are added and kept, and only these are removed again.
type vips struct {
	mirror *route.Mirror
	add    bool
	public []int              // ifindexes
	added  map[netip.Addr]int // ifindexes
	note   func(added map[netip.Addr]string) error
	links  *links
	warned map[netip.Addr]bool

	unreached map[netip.Prefix]bool // of mark rules, and said so
	unsure    bool                  // whether there are more

	set    *service.Set // last followed
	marked []netip.Addr // that its mark rules name
	uses   map[netip.Addr]int
	open   map[netip.Addr]bool // what to look at
}

func newVIPs(m *route.Mirror, cfg Config, l *links, note func(map[netip.Addr]string) error) *vips {
	v := &vips{
		mirror: m, add: cfg.AddVIPs, added: map[netip.Addr]int{}, note: note, links: l, warned: map[netip.Addr]bool{}, unreached: map[netip.Prefix]bool{},
		set: new(service.Set), uses: map[netip.Addr]int{}, open: map[netip.Addr]bool{},
	}
	for _, name := range cfg.Public {
		for _, f := range l.list {
			if f.name == name {
				v.public = append(v.public, f.ifindex)
			}
		}
	}
	return v
}

// follow adds and removes addresses as the services of set need them, and
// looks at those that an edit since the last time concerns. It returns a
// sentence for each that nobody has; each is said once.
func (v *vips) follow(set *service.Set, running bool) (warnings []string, err error) {
	v.count(set)
	var absent, left []netip.Addr
	for vip := range v.open {
		switch {
		case v.uses[vip] == 0:
			delete(v.warned, vip)
			if v.added[vip] != 0 {
				left = append(left, vip)
			}
		// `ip route add local VIP dev lo` makes it the director's as well.
		case v.added[vip] != 0 || v.mirror.Lookup(vip, netip.Addr{}, 0, 0).Kind == route.Local:
		case !v.add || len(v.public) == 0:
			if !v.warned[vip] {
				v.warned[vip] = true
				warnings = append(warnings, v.missing(vip))
			}
		case running:
			absent = append(absent, vip)
		default:
			continue // Run will look at it
		}
		delete(v.open, vip)
	}
	slices.Sort(warnings)
	if v.unsure {
		warnings, v.unsure = append(warnings, v.unfound(set)...), false
	}
	return warnings, errors.Join(v.put(absent, v.firstPublic()), v.drop(left))
}

// missing says what to do for a VIP that nobody has.
func (v *vips) missing(vip netip.Addr) string {
	return fmt.Sprintf("no NIC has the address %v; clients will not find it until somebody adds it (ip addr add %v/%d dev %s, or lvx run --add-vips)",
		vip, vip, vip.BitLen(), v.links.list[0].name)
}

// count goes on to another set: how many services, and mark rules that lead to
// some, have which address.
func (v *vips) count(set *service.Set) {
	marks := !slices.Equal(set.Marks(), v.set.Marks())
	for _, c := range set.Since(v.set) {
		switch {
		case c.Key().Mark != 0:
			marks = marks || c.Was == nil || c.Is == nil
		case c.Was == nil:
			v.use(c.Key().Address.Addr(), 1)
		case c.Is == nil:
			v.use(c.Key().Address.Addr(), -1)
		default:
			v.open[c.Key().Address.Addr()] = true
		}
	}
	if v.set = set.Clone(); marks {
		v.countMarked(markedVIPs(set))
	}
}

func (v *vips) countMarked(marked []netip.Addr) {
	for _, vip := range marked {
		v.use(vip, 1)
	}
	for _, vip := range v.marked {
		v.use(vip, -1)
	}
	v.marked, v.unsure = marked, true
}

func (v *vips) use(vip netip.Addr, by int) {
	if v.uses[vip] += by; v.uses[vip] == 0 {
		delete(v.uses, vip)
	}
	v.open[vip] = true
}

// markedVIPs returns the addresses that mark rules name for services by
// firewall mark.
func markedVIPs(set *service.Set) (all []netip.Addr) {
	for _, r := range set.Marks() {
		if _, used := set.Find(r.Key()); used && r.Prefix.IsSingleIP() {
			all = append(all, r.Prefix.Addr())
		}
	}
	return all
}

// doubt has the next follow look at every address: somebody has changed some.
func (v *vips) doubt() {
	v.unsure = true
	for vip := range v.uses {
		v.open[vip] = true
	}
}

func (v *vips) firstPublic() int {
	if len(v.public) == 0 {
		return 0
	}
	return v.public[0]
}

// unfound returns a sentence for each prefix of a mark rule, once, of which
// nobody has any address.
func (v *vips) unfound(set *service.Set) (warnings []string) {
	needed, addresses := map[netip.Prefix]bool{}, v.mirror.Addresses()
	for _, r := range set.Marks() {
		if _, used := set.Find(r.Key()); !used || r.Prefix.IsSingleIP() || needed[r.Prefix] {
			continue
		}
		needed[r.Prefix] = true
		here := func(a route.Address) bool { return r.Prefix.Contains(a.Prefix.Addr()) && !a.Removed }
		if v.unreached[r.Prefix] || slices.ContainsFunc(addresses, here) ||
			v.mirror.Lookup(r.Prefix.Addr(), netip.Addr{}, 0, 0).Kind == route.Local {
			continue
		}
		v.unreached[r.Prefix] = true
		warnings = append(warnings, fmt.Sprintf("no NIC has an address of %v; clients will find them after: ip route add local %v dev lo", r.Prefix, r.Prefix))
	}
	maps.DeleteFunc(v.unreached, func(p netip.Prefix, _ bool) bool { return !needed[p] })
	return warnings
}

// adopt goes on with the addresses that a director added which crashed.
func (v *vips) adopt(left map[netip.Addr]string) {
	there := v.there()
	for vip, name := range left {
		for _, f := range v.links.list {
			if f.name == name && there[place{f.ifindex, vip}] {
				v.added[vip] = f.ifindex
				v.open[vip] = true
			}
		}
	}
}

// keep adds again what has got lost: a NIC that goes down loses its IPv6
// addresses.
func (v *vips) keep() error {
	if len(v.added) == 0 {
		return nil
	}
	there, lost := v.there(), map[int][]netip.Addr{}
	for vip, ifindex := range v.added {
		if l, err := v.mirror.Link(ifindex); err == nil && l.Up && !there[place{ifindex, vip}] {
			lost[ifindex] = append(lost[ifindex], vip)
		}
	}
	var errs []error
	for ifindex, list := range lost {
		errs = append(errs, v.put(list, ifindex))
	}
	return errors.Join(errs...)
}

// place is an address of a link, alone in its network.
type place struct {
	ifindex int
	addr    netip.Addr
}

func (v *vips) there() map[place]bool {
	there := map[place]bool{}
	for _, a := range v.mirror.Addresses() {
		if a.Prefix.IsSingleIP() && !a.Removed {
			there[place{a.Ifindex, a.Prefix.Addr()}] = true
		}
	}
	return there
}

// put adds addresses. They are noted first: a crash in between must not leave
// one that nobody removes.
func (v *vips) put(list []netip.Addr, ifindex int) error {
	if len(list) == 0 {
		return nil
	}
	again := map[netip.Addr]bool{}
	for _, vip := range list {
		_, again[vip] = v.added[vip]
		v.added[vip] = ifindex
	}
	if err := v.noteAdded(); err != nil {
		for vip, was := range again {
			v.open[vip] = true
			if !was {
				delete(v.added, vip)
			}
		}
		return err
	}
	errs, added := []error{}, list[:0:0]
	for _, vip := range list {
		err := v.mirror.AddAddress(ifindex, vip)
		if err == nil {
			added = append(added, vip)
			continue
		}
		if !again[vip] {
			delete(v.added, vip)
		}
		if !errors.Is(err, route.ErrExists) {
			v.open[vip] = true
			errs = append(errs, err)
		}
	}
	if len(added) < len(list) {
		errs = append(errs, v.noteAdded())
	}
	if len(added) > 0 {
		errs = append(errs, v.mirror.Announce(ifindex, added...))
	}
	return errors.Join(errs...)
}

// drop removes addresses that were added.
func (v *vips) drop(list []netip.Addr) error {
	if len(list) == 0 {
		return nil
	}
	var errs []error
	for _, vip := range list {
		errs = append(errs, v.mirror.RemoveAddress(v.added[vip], vip))
		delete(v.added, vip)
	}
	return errors.Join(append(errs, v.noteAdded())...)
}

func (v *vips) noteAdded() error {
	named := map[netip.Addr]string{}
	for vip, ifindex := range v.added {
		if id, ok := v.links.byIfindex(ifindex); ok {
			named[vip] = v.links.list[id].name
		}
	}
	return v.note(named)
}

// remove takes away what was added. Run may put it there again.
func (v *vips) remove() error {
	v.doubt()
	return v.drop(slices.Collect(maps.Keys(v.added)))
}
