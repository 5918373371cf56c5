package route

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// route is a route message. It is reused for message after message.
type route struct {
	table   uint32
	prefix  netip.Prefix
	path    path
	nexthop uint32 // nexthop object, 0 = none
	beyond  string // what the route asks for and this package cannot give
	narrow  bool   // it is for packets of one source or tos only
}

// path is everything that a route says beside table and prefix.
type path struct {
	kind   Kind
	v6     bool // family of the prefix
	metric uint32
	mtu    uint32
	source netip.Addr
	hops   []hop
}

// hop is one next hop of a path.
type hop struct {
	ifindex int
	gateway netip.Addr
	weight  uint32
}

var routeKinds = map[uint8]Kind{
	unix.RTN_UNICAST: Unicast, unix.RTN_LOCAL: Local, unix.RTN_ANYCAST: Local,
	unix.RTN_BROADCAST: Broadcast, unix.RTN_MULTICAST: Broadcast,
	unix.RTN_UNREACHABLE: Unreachable, unix.RTN_BLACKHOLE: Blackhole,
	unix.RTN_PROHIBIT: Prohibit, unix.RTN_THROW: throw,
}

// decode reads an rtmsg of family and reports whether it is a route that
// concerns us: well-formed, of that family, no cache entry of a destination.
func (r *route) decode(b []byte, family uint8) bool {
	if len(b) < unix.SizeofRtMsg || b[0] != family {
		return false
	}
	kind, ok := routeKinds[b[7]]
	if !ok || binary.NativeEndian.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return false
	}
	*r = route{table: uint32(b[4]), path: path{kind: kind, v6: family == unix.AF_INET6, hops: r.path.hops[:0]}}
	if b[2] != 0 {
		r.beyond, r.narrow = "a source prefix", true
	} else if b[3] != 0 {
		r.beyond, r.narrow = "a tos", true
	}
	alone := hop{weight: 1}
	var dst netip.Addr
	for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			dst = address(v)
		case unix.RTA_MULTIPATH:
			r.multipath(v)
		default:
			r.attribute(kind, v, &alone)
		}
	}
	dead := binary.NativeEndian.Uint32(b[8:])&unix.RTNH_F_DEAD != 0
	if len(r.path.hops) == 0 && alone.ifindex != 0 && !dead {
		r.path.hops = append(r.path.hops, alone)
	}
	if !r.forwards() {
		r.path.hops = r.path.hops[:0]
	}
	r.prefix = prefix(family, dst, b[1])
	return r.prefix.IsValid()
}

// forwards reports whether the hops of r mean something.
func (r *route) forwards() bool {
	return r.path.kind == Unicast || r.path.kind == Local || r.path.kind == Broadcast
}

func (r *route) attribute(kind uint16, v []byte, alone *hop) {
	switch kind {
	case unix.RTA_TABLE:
		r.table = number(v)
	case unix.RTA_PRIORITY:
		r.path.metric = number(v)
	case unix.RTA_PREFSRC:
		r.path.source = address(v)
	case unix.RTA_METRICS:
		r.path.mtu = mtuOf(v)
	case unix.RTA_OIF:
		alone.ifindex = int(int32(number(v)))
	case unix.RTA_GATEWAY:
		alone.gateway = address(v)
	case unix.RTA_VIA:
		alone.gateway = via(v)
	case rtaNexthopID:
		r.nexthop = number(v)
	case unix.RTA_ENCAP_TYPE:
		r.beyond = "an encapsulation"
	}
}

// multipath reads the rtnexthop structures of RTA_MULTIPATH; dead hops are
// left out as the kernel leaves them out.
func (r *route) multipath(b []byte) {
	for len(b) >= unix.SizeofRtNexthop {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return
		}
		h := hop{ifindex: int(int32(binary.NativeEndian.Uint32(b[4:]))), weight: uint32(b[3]) + 1}
		for kind, v := range attributes(b[unix.SizeofRtNexthop:n]) {
			switch kind {
			case unix.RTA_GATEWAY:
				h.gateway = address(v)
			case unix.RTA_VIA:
				h.gateway = via(v)
			case unix.RTA_ENCAP_TYPE:
				r.beyond = "an encapsulation"
			}
		}
		if b[2]&unix.RTNH_F_DEAD == 0 {
			r.path.hops = append(r.path.hops, h)
		}
		b = b[min(align(n), len(b)):]
	}
}

// mtuOf finds the MTU among a route's metrics. A locked one (`mtu lock`) is
// the same to a router: it takes what the route says either way.
func mtuOf(metrics []byte) uint32 {
	for kind, v := range attributes(metrics) {
		if kind == unix.RTAX_MTU {
			return number(v)
		}
	}
	return 0
}

// key writes the path as bytes that are equal where paths are equal.
func (p *path) key(b []byte) []byte {
	v6 := byte(0)
	if p.v6 {
		v6 = 1
	}
	b = append(b[:0], byte(p.kind), v6)
	b = binary.NativeEndian.AppendUint32(b, p.metric)
	b = binary.NativeEndian.AppendUint32(b, p.mtu)
	b = appendAddr(b, p.source)
	for i := range p.hops {
		b = binary.NativeEndian.AppendUint32(b, uint32(p.hops[i].ifindex))
		b = binary.NativeEndian.AppendUint32(b, p.hops[i].weight)
		b = appendAddr(b, p.hops[i].gateway)
	}
	return b
}

func appendAddr(b []byte, a netip.Addr) []byte {
	b = append(b, byte(a.BitLen()))
	return append(b, a.AsSlice()...)
}
