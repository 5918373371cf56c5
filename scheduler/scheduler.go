// Package scheduler chooses the real server of a new connection: weights,
// connection counts and a key go in, the index of a server comes out.
//
// The choices are those of Linux IPVS, connection for connection: the same
// servers in the same order, also after servers were added, edited and
// deleted. A Scheduler belongs to one service. Its owner holds a lock of that
// service around Pick and Update, so the order is exact with any number of
// workers.
//
// The package knows neither packets nor services; it imports nothing of ours.
package scheduler

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
)

var (
	// ErrUnknown means that no scheduler has the name.
	ErrUnknown = errors.New("unknown scheduler")
	// ErrFlags means that the scheduler does not have the flag.
	ErrFlags = errors.New("flag does not fit the scheduler")
)

// Server is a real server as a scheduler sees it.
type Server struct {
	ID         uint32     // identity, stable while the server stays in the list
	Weight     int        // 0 = no new connections
	LastWeight int        // above 0 the last that the server had; mh goes by it while Weight is 0
	Counts     *Counts    // never nil
	Addr       netip.Addr // with Port what mh spreads its servers by, and lblc knows them by
	Port       uint16
}

func (s *Server) usable() bool { return s.Weight > 0 && !s.Counts.Overloaded() }

// Key is what a scheduler knows of a new connection. Addresses are 16 bytes in
// network order, IPv4 as ::ffff:a.b.c.d.
type Key struct {
	Src, Dst         [16]byte
	SrcPort, DstPort uint16
	Now              uint32 // time in ticks of 100 ms, which lblc and lblcr read
}

// KeyFrom makes the Key of a connection from src to dst.
func KeyFrom(src, dst netip.AddrPort) Key {
	return Key{Src: src.Addr().As16(), Dst: dst.Addr().As16(), SrcPort: src.Port(), DstPort: dst.Port()}
}

// Scheduler chooses among the servers of one service.
type Scheduler interface {
	// Pick returns the index of the server for a new connection, or -1 if
	// none is usable. It does not allocate.
	Pick(servers []Server, k Key) int

	// Update tells that servers is the list from now on, newest server first.
	// Called once for each server added, edited or deleted it repeats what
	// IPVS does; called once with a full list it does what IPVS does when a
	// service that has servers is given another scheduler.
	Update(servers []Server)
}

// makers has the schedulers by name.
var makers = map[string]func(*options) Scheduler{
	"rr":    func(*options) Scheduler { return &rr{at: head} },
	"wrr":   func(*options) Scheduler { return &wrr{at: head, step: 1} },
	"lc":    func(*options) Scheduler { return least{connections} },
	"wlc":   func(*options) Scheduler { return least{weightedConnections} },
	"sed":   func(*options) Scheduler { return least{expectedDelay} },
	"nq":    func(*options) Scheduler { return least{delayUnlessIdle} },
	"fo":    func(*options) Scheduler { return heaviest{} },
	"ovf":   func(*options) Scheduler { return heaviest{spill: true} },
	"dh":    newDestinationHash,
	"sh":    newSourceHash,
	"mh":    newMaglev,
	"lblc":  newLocal,
	"lblcr": newReplicated,
	"twos":  newTwos,
}

// New returns the scheduler of that name, without servers. Flags are named as
// ipvsadm -b names them.
func New(name string, flags []string, opts ...Option) (Scheduler, error) {
	bits, err := parseFlags(name, flags)
	if err != nil {
		return nil, fmt.Errorf("make scheduler %s: %w", name, err)
	}
	o := options{flags: bits, seed: rand.Uint64(), addresses: defaultAddresses}
	for _, set := range opts {
		set(&o)
	}
	return makers[name](&o), nil
}

// Option tells New what only some schedulers want to know.
type Option func(*options)

type options struct {
	flags     uint8 // in ipvsadm's bits
	seed      uint64
	addresses int
	since     uint32
}

// defaultAddresses takes 65 KB for a service.
const defaultAddresses = 1024

// Seed makes the choices of twos repeatable.
func Seed(seed uint64) Option { return func(o *options) { o.seed = seed } }

// Addresses sets how many destination addresses lblc and lblcr remember, at
// least one. A service by address has one, a service by firewall mark can have
// many; IPVS keeps 16,384 without looking twice.
func Addresses(n int) Option { return func(o *options) { o.addresses = max(n, 1) } }

// Since tells lblc and lblcr when the service was made, in ticks: from there
// on they look every half hour for addresses that nobody calls any more.
func Since(tick uint32) Option { return func(o *options) { o.since = tick } }

// Names returns the names that New knows, sorted.
func Names() []string {
	names := make([]string, 0, len(makers))
	for name := range makers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// mark remembers a server of the list. The index is only a hint, as a caller
// may still hold the list before the last Update.
type mark struct {
	index int
	id    uint32
}

// head is the mark before the first server.
var head = mark{index: -1}

func markOf(servers []Server, i int) mark { return mark{i, servers[i].ID} }

// find returns where the marked server stands in servers, -1 for head and for
// a server that is not there.
func (m mark) find(servers []Server) int {
	if m.index < 0 || m.index < len(servers) && servers[m.index].ID == m.id {
		return m.index
	}
	return slices.IndexFunc(servers, func(s Server) bool { return s.ID == m.id })
}

// fold reduces an address to the 32 bits that IPVS hashes: an IPv4 address to
// itself, an IPv6 address to the exclusive or of its four words.
func fold(a [16]byte) uint32 {
	hi, lo := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
	if hi == 0 && lo>>32 == 0xffff {
		return uint32(lo)
	}
	both := hi ^ lo
	return uint32(both>>32) ^ uint32(both)
}
