package route

import (
	"net/netip"

	"github.com/gaissmai/bart"
)

// Kind says what becomes of a packet to a destination.
type Kind uint8

// The kinds of answers. None, the zero Kind, is "no route".
const (
	None        Kind = iota
	Unicast          // to the next hop
	Local            // an address of this machine, or anycast
	Broadcast        // to all hosts of a link, or multicast
	Unreachable      // refused: host unreachable
	Blackhole        // dropped in silence
	Prohibit         // refused: administratively prohibited
	throw            // look on in the next rule; never answered
)

// String names k as `ip route` does.
func (k Kind) String() string {
	names := [...]string{"none", "unicast", "local", "broadcast", "unreachable", "blackhole", "prohibit", "throw"}
	if int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// Next is where a packet goes next.
type Next struct {
	Ifindex int        // the link it leaves by
	Gateway netip.Addr // whose MAC address it gets, of either family; invalid = the destination itself is on the link
	MTU     int        // of the route if it names one, and never above the link's
	Source  netip.Addr // the address this machine would use as source, invalid = none
	Kind    Kind
	Fixed   bool // the same whatever the source, the link and the hash
}

// snapshot is all that Lookup and IsOwn read. It never changes.
type snapshot struct {
	generation uint32
	v4, v6     []step
	ways       []way // by path number
	own        map[netip.Addr]struct{}
}

// step is one `ip rule`, its table at hand.
type step struct {
	every    bool // neither source nor destination nor NIC asked
	src, dst netip.Prefix
	in       int // ifindex, 0 = any, -1 = a NIC that does not exist
	kind     Kind
	table    *bart.Table[uint32] // nil: kind is the answer
}

// way is a path's answer: one hop, or several with their shares.
type way struct {
	next   Next
	shares []share
}

// share is a hop of a multipath route; it serves the hashes up to bound.
type share struct {
	bound uint32
	next  Next
}

// localIn is what an `iif lo` rule matches: packets that this machine makes.
const localIn = 1

// Lookup returns the next hop of a packet from src to dst that came in by the
// link in (0 = made here). Of a multipath route hash chooses the hop. It
// neither locks nor allocates.
func (m *Mirror) Lookup(dst, src netip.Addr, in int, hash uint32) Next {
	s := m.snapshot.Load()
	dst, src = dst.Unmap(), src.Unmap()
	if in == 0 {
		in = localIn
	}
	steps := s.v4
	if !dst.Is4() {
		steps = s.v6
	}
	fixed := true
	for i := range steps {
		r := &steps[i]
		fixed = fixed && r.every
		if !r.every && !r.matches(dst, src, in) {
			continue
		}
		if r.table == nil {
			return Next{Kind: r.kind}
		}
		n, ok := r.table.Lookup(dst)
		if !ok {
			continue
		}
		w := &s.ways[n]
		if w.shares != nil {
			return w.share(hash)
		}
		if next := w.next; next.Kind != throw {
			next.Fixed = fixed
			return next
		}
	}
	return Next{}
}

func (r *step) matches(dst, src netip.Addr, in int) bool {
	return (r.in == 0 || r.in == in) &&
		(!r.src.IsValid() || r.src.Contains(src)) &&
		(!r.dst.IsValid() || r.dst.Contains(dst))
}

func (w *way) share(hash uint32) Next {
	for i := range w.shares {
		if hash <= w.shares[i].bound {
			return w.shares[i].next
		}
	}
	return w.next
}

// IsOwn reports whether a is an address of this machine. It neither locks nor
// allocates. A local route (`ip route add local`) is asked for by Lookup.
func (m *Mirror) IsOwn(a netip.Addr) bool {
	_, ok := m.snapshot.Load().own[a.Unmap().WithZone("")]
	return ok
}

// Generation counts the published changes of what Lookup and IsOwn answer.
func (m *Mirror) Generation() uint32 { return m.snapshot.Load().generation }
