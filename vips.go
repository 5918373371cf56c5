package lvx

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"

	"github.com/lvx-lb/lvx/route"
	"github.com/lvx-lb/lvx/service"
)

// vips sees to it that the addresses of services are the director's. They
// belong to the administrator or keepalived; with Config.AddVIPs missing ones
// are added, and only these are removed again.
type vips struct {
	mirror *route.Mirror
	add    bool
	public []int // ifindexes
	added  map[netip.Addr]int
	warned map[netip.Addr]bool
}

func newVIPs(m *route.Mirror, cfg Config, l *links) *vips {
	v := &vips{mirror: m, add: cfg.AddVIPs, added: map[netip.Addr]int{}, warned: map[netip.Addr]bool{}}
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
	for _, s := range set.Services() {
		vip := s.Key.Address.Addr()
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
	return warnings, errors.Join(errs...)
}

func (v *vips) put(vip netip.Addr, ifindex int) error {
	if err := v.mirror.AddAddress(ifindex, vip); err != nil {
		if errors.Is(err, route.ErrExists) {
			return nil
		}
		return err
	}
	v.added[vip] = ifindex
	return v.mirror.Announce(ifindex, vip)
}

func (v *vips) drop(vip netip.Addr, ifindex int) error {
	delete(v.added, vip)
	return v.mirror.RemoveAddress(ifindex, vip)
}

// remove takes away what was added.
func (v *vips) remove() error {
	var errs []error
	for vip, ifindex := range v.added {
		errs = append(errs, v.drop(vip, ifindex))
	}
	return errors.Join(errs...)
}
