package dataplane

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lvx-lb/lvx/packet"
)

// HopID numbers the hops; noHop stands for none.
type HopID uint16

const (
	noHop = HopID(0xffff)

	// MaxHops bounds the hops in use at one time.
	MaxHops = 8192

	hopSlots = 2 * MaxHops
	hopProbe = 32
)

// HopState is how much is known of a hop.
type HopState uint8

// The states. A worker claims a hop (Wanted); its owner resolves it.
const (
	HopFree HopState = iota
	HopWanted
	HopUsable
	HopFailed
)

// hop is one next address on a link. Its name is written once, under the
// state HopFree, by the worker that claims it; mac changes as one word. The
// MTU of the route is part of the name: one gateway may serve routes of
// several MTUs.
type hop struct {
	addr  packet.Addr
	where uint64        // link | mtu<<16; valid once state is not HopFree
	mac   atomic.Uint64 // a packet.MAC
	state atomic.Uint32
	used  atomic.Uint32 // tick of the last frame, or look-up, for upkeep
	_     [24]byte
}

// Hops are the next hops of a director: an open hash table that workers read
// and claim in and that one owner, told by netlink, fills. A slot's name never
// changes while workers run, so a HopID in a connection stays right; Sweep
// frees the unused with the workers' consent.
type Hops struct {
	mu      sync.Mutex // of who claims or sweeps
	slots   *[hopSlots]hop
	count   atomic.Int32
	changed atomic.Uint32 // grows with each Set, so that workers look at what they hold
	wake    chan struct{}
}

// NewHops returns an empty table.
func NewHops() *Hops {
	return &Hops{slots: new([hopSlots]hop), wake: make(chan struct{}, 1)}
}

// Wanted receives a token after a worker claimed a hop.
func (h *Hops) Wanted() <-chan struct{} { return h.wake }

func hopWhere(link LinkID, mtu int) uint64 { return uint64(link) | uint64(min(mtu, 0xffff))<<16 }

func hopHome(addr packet.Addr, where uint64) uint32 {
	x := (addr.Hi ^ where) * 0x9e3779b97f4a7c15
	x = (x ^ addr.Lo ^ x>>29) * 0xbf58476d1ce4e5b9
	return uint32(x>>32) % hopSlots
}

// find returns the hop to addr over link, noHop if it is not in the table.
func (h *Hops) find(link LinkID, mtu int, addr packet.Addr) HopID {
	where := hopWhere(link, mtu)
	for i, n := hopHome(addr, where), 0; n < hopProbe; i, n = (i+1)%hopSlots, n+1 {
		s := &h.slots[i]
		if HopState(s.state.Load()) != HopFree && s.where == where && s.addr == addr {
			return HopID(i)
		}
	}
	return noHop
}

// claim puts addr into a free slot and asks for its resolution. Another worker
// may have done so since find.
func (h *Hops) claim(link LinkID, mtu int, addr packet.Addr, now uint32) HopID {
	if h.count.Load() >= MaxHops {
		return noHop
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if id := h.find(link, mtu, addr); id != noHop {
		return id
	}
	where := hopWhere(link, mtu)
	for i, n := hopHome(addr, where), 0; n < hopProbe; i, n = (i+1)%hopSlots, n+1 {
		s := &h.slots[i]
		if HopState(s.state.Load()) != HopFree {
			continue
		}
		s.addr, s.where = addr, where
		s.mac.Store(0)
		s.used.Store(now)
		s.state.Store(uint32(HopWanted))
		h.count.Add(1)
		h.ask()
		return HopID(i)
	}
	return noHop
}

// again asks for a failed hop once more.
func (h *Hops) again(id HopID) {
	if h.slots[id].state.CompareAndSwap(uint32(HopFailed), uint32(HopWanted)) {
		h.ask()
	}
}

// giveUp takes a hop that nobody could resolve for a failed one.
func (h *Hops) giveUp(id HopID) {
	h.slots[id].state.CompareAndSwap(uint32(HopWanted), uint32(HopFailed))
}

func (h *Hops) ask() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Set tells what became of addr on link, whatever the MTUs it is used with.
func (h *Hops) Set(link LinkID, addr packet.Addr, state HopState, mac MAC) {
	word := uint64(packet.MACFrom(mac))
	for i := range h.slots {
		if s := &h.slots[i]; s.leads(link, addr) {
			h.mu.Lock() // the slot may have changed hands
			if s.leads(link, addr) {
				if state == HopUsable {
					s.mac.Store(word)
				}
				s.state.Store(uint32(state))
			}
			h.mu.Unlock()
		}
	}
	h.changed.Add(1)
}

// leads reports whether s is in use for addr on link.
func (s *hop) leads(link LinkID, addr packet.Addr) bool {
	return HopState(s.state.Load()) != HopFree && LinkID(s.where) == link && s.addr == addr
}

// Each calls f for every hop in use, with the tick of its last frame.
func (h *Hops) Each(f func(link LinkID, addr packet.Addr, state HopState, used uint32)) {
	for i := range h.slots {
		s := &h.slots[i]
		if st := HopState(s.state.Load()); st != HopFree {
			f(LinkID(s.where), s.addr, st, s.used.Load())
		}
	}
}

// Neighbour is a next address on a link, whatever the MTUs it is used with.
type Neighbour struct {
	Link LinkID
	Addr packet.Addr
}

// Sweep frees the hops that unused reports, and returns the neighbours that no
// other hop leads to. The caller has raised the route generation and waited for
// every worker to see it, so that no connection names them.
func (h *Hops) Sweep(unused func(used uint32) bool) (freed []Neighbour) {
	h.mu.Lock()
	defer h.mu.Unlock()
	stay := map[Neighbour]bool{}
	for i := range h.slots {
		s := &h.slots[i]
		if HopState(s.state.Load()) == HopFree {
			continue
		}
		n := Neighbour{LinkID(s.where), s.addr}
		if !unused(s.used.Load()) {
			stay[n] = true
			continue
		}
		freed = append(freed, n)
		s.state.Store(uint32(HopFree))
		h.count.Add(-1)
	}
	slices.SortFunc(freed, func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Addr.Hi, b.Addr.Hi), cmp.Compare(a.Addr.Lo, b.Addr.Lo))
	})
	return slices.DeleteFunc(slices.Compact(freed), func(n Neighbour) bool { return stay[n] })
}

func (h *Hops) at(id HopID) *hop { return &h.slots[id%hopSlots] }

func (h *Hops) state(id HopID) HopState { return HopState(h.at(id).state.Load()) }

func (s *hop) link() LinkID { return LinkID(s.where) }
func (s *hop) mtu() int     { return int(uint16(s.where >> 16)) }
func (s *hop) usable() bool { return HopState(s.state.Load()) == HopUsable }
