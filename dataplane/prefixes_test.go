package dataplane

import (
	"net/netip"
	"slices"

	"github.com/lvx-lb/lvx/packet"
)

// prefixes are routes as a list.
type prefixes []route

type route struct {
	prefix netip.Prefix
	from   netip.Prefix // zero: any source
	next   Next
	ok     bool
}

func (r *prefixes) add(links []Link, words []string) {
	x := route{prefix: netip.MustParsePrefix(words[0]), next: Next{MTU: 1500}, ok: true}
	for rest := words[1:]; len(rest) > 0; {
		switch rest[0] {
		case "via":
			x.next.Via, rest = addrOf(rest[1]), rest[2:]
		case "mtu":
			x.next.MTU, rest = (&symbol{arg: rest[1]}).argument(), rest[2:]
		case "from":
			x.from, rest = netip.MustParsePrefix(rest[1]), rest[2:]
		case "none", "unreachable", "prohibit", "blackhole":
			x.next.Refused = map[string]Refusal{"unreachable": Unreachable, "prohibit": Prohibited, "blackhole": Blackhole}[rest[0]]
			x.ok, rest = false, rest[1:]
		default:
			at := slices.IndexFunc(links, func(l Link) bool { return l.Name == rest[0] })
			x.next.Link, rest = LinkID(at), rest[1:]
		}
	}
	*r = append(slices.DeleteFunc(*r, func(old route) bool { return old.prefix == x.prefix && old.from == x.from }), x)
}

func (r *prefixes) Next(dst, src packet.Addr, _ LinkID, _ uint32) (Next, bool) {
	var best *route
	a := dst.Netip()
	for i := range *r {
		x := &(*r)[i]
		if x.from.IsValid() && !x.from.Contains(src.Netip()) {
			continue
		}
		if x.prefix.Contains(a) && (best == nil || x.prefix.Bits() >= best.prefix.Bits()) {
			best = x
		}
	}
	if best == nil || !best.ok {
		var none Next
		if best != nil {
			none.Refused = best.next.Refused
		}
		return none, false
	}
	next := best.next
	next.Fixed = !slices.ContainsFunc(*r, func(x route) bool { return x.from.IsValid() })
	if next.Via == (packet.Addr{}) {
		next.Via = dst
	}
	return next, true
}
