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
	"net/netip"
	"slices"
	"sync/atomic"
)

var (
	// ErrUnknown means that no scheduler has the name.
	ErrUnknown = errors.New("unknown scheduler")
	// ErrFlags means that the scheduler does not have the flag.
	ErrFlags = errors.New("flag does not fit the scheduler")
)

// Counts are the connections of one server, counted by all workers.
type Counts struct {
	Active, Inactive atomic.Int32
}

// Server is a real server as a scheduler sees it.
type Server struct {
	ID         uint32     // identity, stable while the server stays in the list
	Weight     int        // 0 = no new connections
	Overloaded bool       // a threshold forbids new connections for now
	Counts     *Counts    // read by wlc, never nil there
	Addr       netip.Addr // with Port what mh spreads its servers by
	Port       uint16
}

func (s *Server) usable() bool { return s.Weight > 0 && !s.Overloaded }

// Key is what the hashing schedulers know of a new connection. Addresses are
// 16 bytes in network order, IPv4 as ::ffff:a.b.c.d.
type Key struct {
	Src, Dst         [16]byte
	SrcPort, DstPort uint16
}

// KeyFrom makes the Key of a connection from src to dst.
func KeyFrom(src, dst netip.AddrPort) Key {
	return Key{src.Addr().As16(), dst.Addr().As16(), src.Port(), dst.Port()}
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

// makers has the schedulers by name; each takes its flags in ipvsadm's bits.
var makers = map[string]func(flags uint8) Scheduler{
	"rr":  func(uint8) Scheduler { return &rr{at: head} },
	"wrr": func(uint8) Scheduler { return &wrr{at: head, step: 1} },
	"wlc": func(uint8) Scheduler { return wlc{} },
	"mh":  newMaglev,
}

// New returns the scheduler of that name, without servers. Flags are named as
// ipvsadm -b names them.
func New(name string, flags []string) (Scheduler, error) {
	bits, err := parseFlags(name, flags)
	if err != nil {
		return nil, fmt.Errorf("make scheduler %s: %w", name, err)
	}
	return makers[name](bits), nil
}

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
