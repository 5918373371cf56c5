package dataplane

import (
	"math/bits"
	"net/netip"
	"sync/atomic"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/scheduler"
	"github.com/lvx-lb/lvx/service"
)

// Config is what a worker reads: an immutable picture of links, services and
// servers. A Roster makes the next one.
type Config struct {
	Links    []Link
	Services []*Service

	nics     [256][]LinkID // links of each NIC
	untagged [256]LinkID   // and that without tags
	partial  uint64        // links whose peers may leave checksums partial
	exits    [MaxLinks]exit
	index    serviceIndex
	servers  []*Server // by slot
	spreads  bool      // some service has more than its own port
	anyPort  bool      // one takes all ports that no other has
	ftp      *FTP      // nil: no service has control connections
	ftpPorts []uint16  // of services that may have other ports of their VIP
	ftpVIPs  addrSet   // of those services
	marks    []*marks  // by link; nil = no service has packets by firewall mark
	plain    bool      // plain packets may take the shortcut
	called   called    // what they look at
	pairs    []conntrack.Pair
	own      addrSet // addresses of the director and VIPs
	routeGen uint16

	Settings   Settings
	Deviations service.Deviations
	reals      *reals         // nil: nobody asks
	deletions  *atomic.Uint32 // how often servers were deleted

	templates *Templates // nil: no service was ever persistent
}

// Settings are the sysctls of IPVS, which the fast path reads as they are.
type Settings = service.Settings

// Service is a virtual service at run time. Its scheduler and list of servers
// are shared by all workers and touched only when a connection begins.
type Service struct {
	Key     service.Key
	virtual packet.Endpoint
	proto   uint8
	listed  bool // in Roster.order
	wide    bool // as with IPVS, persistent, it takes calls of other ports: of FTP

	mu        spin
	scheduler scheduler.Scheduler
	servers   []scheduler.Server // newest first
	spec      service.Configured
	cold      bool // a server is in its slow start, for the Roster
}

// Server is a real server of one service at run time.
type Server struct {
	Slot     uint32
	Address  service.Server // as last edited
	service  *Service
	toServer packet.Rewrite
	toClient packet.Rewrite
	real     packet.Endpoint
	counts   scheduler.Counts
	awaited  atomic.Int32  // answers to datagrams that opened no connection
	kept     atomic.Int32  // templates
	links    atomic.Uint64 // links over which its replies may come, one bit each
	deleted  atomic.Bool
	gone     bool        // its slot is free: the Roster's
	quiet    atomic.Bool // its weight is 0
	severed  atomic.Bool // its connections are given up
	warms    bool        // it is in its slow start, for the Roster
	began    Time

	keepsPorts atomic.Bool // the service was persistent at some time: by firewall mark, and of FTP, ports stay
}

// Counts returns the server's active and inactive connections.
func (s *Server) Counts() (active, inactive uint32) {
	return uint32(max(s.counts.Active.Load(), 0)), uint32(max(s.counts.Inactive.Load(), 0))
}

// Templates returns how many clients the server keeps by templates.
func (s *Server) Templates() uint32 { return uint32(max(s.kept.Load(), 0)) }

// Idle reports whether nothing is under way with the server. A deleted one may
// still have templates then.
func (s *Server) Idle() bool {
	return s.counts.None() && s.awaited.Load() <= 0
}

// CalledAt returns where the packets of the server's service go to; port 0 is
// any.
func (s *Server) CalledAt() netip.AddrPort {
	if s.service.wide && s.keepsPorts.Load() {
		return netip.AddrPortFrom(s.service.Key.Address.Addr(), 0)
	}
	return s.service.Key.Address
}

// AnswersFrom returns where the server's packets come from; port 0 is any.
func (s *Server) AnswersFrom() netip.AddrPort {
	switch {
	case s.service.marked() && s.real.Port != 0 && !s.keepsPorts.Load():
		return s.Address.Address
	case s.service.virtual.Port == 0 || s.service.wide && s.keepsPorts.Load():
		return netip.AddrPortFrom(s.Address.Address.Addr(), 0)
	case s.real.Port == 0:
		return netip.AddrPortFrom(s.Address.Address.Addr(), s.service.virtual.Port)
	}
	return s.Address.Address
}

// SetLinks tells over which links the server's replies may come.
func (s *Server) SetLinks(links uint64) { s.links.Store(links) }

// Links returns the set of links given to SetLinks.
func (s *Server) Links() uint64 { return s.links.Load() }

// Service returns the service that the server belongs to.
func (s *Server) Service() *Service { return s.service }

// RouteGen returns the generation of routes that c was made for.
func (c *Config) RouteGen() uint16 { return c.routeGen }

// serviceIndex finds a service by protocol, address and port: open
// addressing, at most half full, never changed after it was built.
type serviceIndex struct {
	entries []servicePlace
	shift   uint8
}

type servicePlace struct {
	addr  packet.Addr
	port  uint16
	proto uint8 // 0 = empty
	id    int32
}

const noService = int32(-1)

func newServiceIndex(services []*Service) serviceIndex {
	places := make([]servicePlace, len(services))
	for id, s := range services {
		places[id] = servicePlace{s.virtual.Addr, s.virtual.Port, s.proto, int32(id)}
	}
	return newIndex(places)
}

func newIndex(places []servicePlace) serviceIndex {
	size := max(16, 1<<bits.Len(uint(2*len(places))))
	x := serviceIndex{make([]servicePlace, size), uint8(64 - bits.Len(uint(size-1)))}
	for _, p := range places {
		i := x.home(p.proto, &packet.Endpoint{Addr: p.addr, Port: p.port})
		for x.entries[i].proto != 0 {
			i = (i + 1) & (len(x.entries) - 1)
		}
		x.entries[i] = p
	}
	return x
}

func (x *serviceIndex) home(proto uint8, e *packet.Endpoint) int {
	h := (e.Addr.Lo ^ e.Addr.Hi*0x9e3779b97f4a7c15 ^ uint64(e.Port)<<40 ^ uint64(proto)<<56) * 0xbf58476d1ce4e5b9
	return int(h >> (x.shift & 63))
}

// serviceOf returns the position in Services of the one that takes what goes
// to e and came over link, noService if there is none. Firewall marks come
// first.
func (c *Config) serviceOf(link LinkID, proto uint8, e *packet.Endpoint) int32 {
	if c.marks != nil {
		if id := c.marks[link].find(proto, e); id != noService {
			return id
		}
	}
	id := c.index.find(proto, e)
	if id == noService && c.spreads {
		id = c.besides(proto, e)
	}
	return id
}

// besides returns the service that takes what goes to e besides its own port:
// as with IPVS one of FTP comes first, for its data connections.
func (c *Config) besides(proto uint8, e *packet.Endpoint) int32 {
	if proto == packet.TCP && (e.Port >= firstPort || e.Port == ftpPort-1) && c.ftpVIPs.has(e.Addr) {
		for _, port := range c.ftpPorts {
			if id := c.index.find(proto, &packet.Endpoint{Addr: e.Addr, Port: port}); id != noService {
				return id
			}
		}
	}
	if !c.anyPort {
		return noService
	}
	return c.index.find(proto, &packet.Endpoint{Addr: e.Addr})
}

// owns reports whether a port that serviceOf has found the service for is its
// own. What calls others may be a data connection of FTP.
func (s *Service) owns(port uint16) bool { return s.virtual.Port == port || s.virtual.Port == 0 }

// find returns the position of the service in Config.Services, noService if
// there is none.
func (x *serviceIndex) find(proto uint8, e *packet.Endpoint) int32 {
	for i := x.home(proto, e); ; i = (i + 1) & (len(x.entries) - 1) {
		s := &x.entries[i]
		if s.proto == 0 {
			return noService
		}
		if s.addr.Lo == e.Addr.Lo && s.port == e.Port && s.proto == proto && s.addr.Hi == e.Addr.Hi {
			return s.id
		}
	}
}

// addrSet is a set of addresses, built like serviceIndex. Most that are asked
// for are not in it: one bit of a word tells so.
type addrSet struct {
	serviceIndex
	bits  uint64
	plain plainSet // those of IPv4
}

func newAddrSet(addrs []packet.Addr) addrSet {
	var all []*Service
	seen := make(map[packet.Addr]bool, len(addrs))
	for _, a := range addrs {
		if !seen[a] {
			seen[a] = true
			all = append(all, &Service{proto: 1, virtual: packet.Endpoint{Addr: a}})
		}
	}
	set := addrSet{serviceIndex: newServiceIndex(all)}
	var plain []packet.PlainEndpoint
	for a := range seen {
		set.bits |= addrBit(a)
		if a.Is4() {
			plain = append(plain, packet.PlainEndpointFrom(1, 0, a.V4()))
		}
	}
	set.plain = newPlainSet(plain)
	return set
}

func addrBit(a packet.Addr) uint64 { return 1 << ((a.Lo ^ a.Hi) * 0x9e3779b97f4a7c15 >> 58) }

// may reports whether a may be in the set.
func (s *addrSet) may(a packet.Addr) bool { return s.bits&addrBit(a) != 0 }

// hasPlain is has for the address of e.
func (s *addrSet) hasPlain(e packet.PlainEndpoint) bool {
	return s.may(e.Addr()) && s.plain.has(e.Host())
}

func (s *addrSet) has(a packet.Addr) bool {
	return s.may(a) && s.find(1, &packet.Endpoint{Addr: a}) != noService
}
