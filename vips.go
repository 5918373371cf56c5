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
}

func newVIPs(m *route.Mirror, cfg Config, l *links, note func(map[netip.Addr]string) error) *vips {
	v := &vips{
		mirror: m, add: cfg.AddVIPs, added: map[netip.Addr]int{}, note: note, links: l, warned: map[netip.Addr]bool{}, unreached: map[netip.Prefix]bool{},
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

// follow adds and removes addresses as the services of set need them. It
// returns a sentence for each that nobody has; each is said once.
func (v *vips) follow(set *service.Set, running bool) (warnings []string, err error) {
	needed := map[netip.Addr]bool{}
	var errs []error
	for _, vip := range vipsOf(set) {
		if needed[vip] {
			continue
		}
		needed[vip] = true
		// `ip route add local VIP dev lo` makes it the director's as well.
		switch {
		case v.added[vip] != 0 || v.mirror.Lookup(vip, netip.Addr{}, 0, 0).Kind == route.Local:
		case !v.add || len(v.public) == 0:
			if !v.warned[vip] {
				v.warned[vip] = true
				warnings = append(warnings, fmt.Sprintf("no NIC has the address %v; clients will not find it until somebody adds it (or use --add-vips)", vip))
			}
		case running:
			errs = append(errs, v.put(vip, v.public[0]))
		}
	}
	for vip, ifindex := range v.added {
		if !needed[vip] {
			errs = append(errs, v.drop(vip, ifindex))
		}
	}
	maps.DeleteFunc(v.warned, func(vip netip.Addr, _ bool) bool { return !needed[vip] })
	return append(warnings, v.unfound(set)...), errors.Join(errs...)
}

// vipsOf returns the addresses of services, and those that mark rules name for
// services by firewall mark.
func vipsOf(set *service.Set) (all []netip.Addr) {
	for _, s := range set.Services() {
		if s.Mark == 0 {
			all = append(all, s.Key.Address.Addr())
		}
	}
	for _, r := range set.Marks() {
		if _, used := set.Find(r.Key()); used && r.Prefix.IsSingleIP() {
			all = append(all, r.Prefix.Addr())
		}
	}
	return all
}

// unfound returns a sentence for each prefix of a mark rule, once, of which
// nobody has any address.
func (v *vips) unfound(set *service.Set) (warnings []string) {
	needed := map[netip.Prefix]bool{}
	for _, r := range set.Marks() {
		if _, used := set.Find(r.Key()); !used || r.Prefix.IsSingleIP() || needed[r.Prefix] {
			continue
		}
		needed[r.Prefix] = true
		here := func(a route.Address) bool { return r.Prefix.Contains(a.Prefix.Addr()) && !a.Removed }
		if v.unreached[r.Prefix] || slices.ContainsFunc(v.mirror.Addresses(), here) ||
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
	for vip, name := range left {
		for _, f := range v.links.list {
			if f.name == name && v.has(vip, f.ifindex) {
				v.added[vip] = f.ifindex
			}
		}
	}
}

// keep adds again what has got lost: a NIC that goes down loses its IPv6
// addresses.
func (v *vips) keep() error {
	var errs []error
	for vip, ifindex := range v.added {
		if l, err := v.mirror.Link(ifindex); err == nil && l.Up && !v.has(vip, ifindex) {
			errs = append(errs, v.put(vip, ifindex))
		}
	}
	return errors.Join(errs...)
}

func (v *vips) has(vip netip.Addr, ifindex int) bool {
	return slices.ContainsFunc(v.mirror.Addresses(), func(a route.Address) bool {
		return a.Ifindex == ifindex && a.Prefix == netip.PrefixFrom(vip, vip.BitLen()) && !a.Removed
	})
}

// put adds an address. It is noted first: a crash in between must not leave
// one that nobody removes.
func (v *vips) put(vip netip.Addr, ifindex int) error {
	_, again := v.added[vip]
	v.added[vip] = ifindex
	err := v.noteAdded()
	if err == nil {
		err = v.mirror.AddAddress(ifindex, vip)
	}
	if err == nil {
		return v.mirror.Announce(ifindex, vip)
	}
	if !again {
		delete(v.added, vip)
		err = errors.Join(err, v.noteAdded())
	}
	if errors.Is(err, route.ErrExists) {
		return nil
	}
	return err
}

func (v *vips) drop(vip netip.Addr, ifindex int) error {
	delete(v.added, vip)
	return errors.Join(v.mirror.RemoveAddress(ifindex, vip), v.noteAdded())
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

// remove takes away what was added.
func (v *vips) remove() error {
	var errs []error
	for vip, ifindex := range v.added {
		errs = append(errs, v.drop(vip, ifindex))
	}
	return errors.Join(errs...)
}
