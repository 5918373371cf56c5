package dataplane

import (
	"cmp"
	"slices"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// marks finds the service that mark rules choose for packets of one link. The
// rules are laid out as zones, so a look at each length of prefix tells which.
type marks struct {
	lengths [2][]uint8 // of prefixes, in bits of 128: of IPv6, of IPv4; longest first
	zones   serviceIndex
	spans   [][]markedSpan // by zone
}

// markedSpan is a range of ports and the position of their service.
type markedSpan struct {
	from, to uint16
	id       int32
}

func newMarks(zones []service.Zone, services map[service.Key]int32) *marks {
	m := &marks{}
	var places []servicePlace
	for _, z := range zones {
		rule := service.MarkRule{Prefix: z.Prefix}
		var spans []markedSpan
		for _, s := range z.Spans {
			rule.Mark = s.Mark
			if id, ok := services[rule.Key()]; ok {
				spans = append(spans, markedSpan{s.From, s.To, id})
			}
		}
		base, bits := packet.AddrFrom(z.Prefix.Addr()), uint8(z.Prefix.Bits())
		list := &m.lengths[0]
		if base.Is4() {
			list, bits = &m.lengths[1], bits+96
		}
		if !slices.Contains(*list, bits) {
			*list = append(*list, bits)
		}
		places = append(places, servicePlace{base, uint16(bits), uint8(z.Protocol), int32(len(m.spans))})
		m.spans = append(m.spans, spans)
	}
	for _, list := range m.lengths {
		slices.SortFunc(list, func(a, b uint8) int { return cmp.Compare(b, a) })
	}
	m.zones = newIndex(places)
	return m
}

// find returns the position of the service, noService if the packet's mark has
// none.
func (m *marks) find(proto uint8, e *packet.Endpoint) int32 {
	lengths := m.lengths[0]
	if e.Addr.Is4() {
		lengths = m.lengths[1]
	}
	for _, bits := range lengths {
		zone := m.zones.find(proto, &packet.Endpoint{Addr: masked(e.Addr, int(bits)), Port: uint16(bits)})
		if zone == noService {
			continue
		}
		spans := m.spans[zone]
		low, high := 0, len(spans)
		for low < high { // to the first that does not end before the port
			if mid := (low + high) / 2; spans[mid].to < e.Port {
				low = mid + 1
			} else {
				high = mid
			}
		}
		if low < len(spans) && spans[low].from <= e.Port {
			return spans[low].id
		}
		return noService
	}
	return noService
}

// turn makes an answer of packet i, which is marked for a service, if it is one:
// a server has sent it to the client of a connection, or calls a client of FTP
// back. As with IPVS connections come before marks; only who owns the connection
// can tell. It returns as what the owner of another connection gets the packet.
func (w *Worker) turn(b *Batch, i int) how {
	server, client, id := b.client[i], b.other[i], b.service[i]
	if b.how[i] != asReceived || id == noService || !w.config.Services[id].marked() || !w.config.mayAnswer(b.proto[i], &server, b.link[i]) {
		return asReceived
	}
	if w.crew != nil && w.handOver(b, i, w.crew.owner(client), asReceived) {
		return asReceived
	}
	hash := w.table.Hash(b.proto[i], client)
	at := w.table.Find(hash, b.proto[i], client, server, conntrack.ToClient)
	if at == conntrack.None {
		at = w.table.FindAlias(hash, b.proto[i], client, server)
	}
	b.dir[i], b.client[i], b.other[i], b.service[i] = conntrack.ToClient, client, server, noService
	if at == conntrack.None && !w.callsBack(b, i) {
		b.dir[i], b.client[i], b.other[i], b.service[i] = conntrack.ToServer, server, client, id
		return toServer
	}
	return asReceived
}

// mayAnswer reports whether some connection has its answers from e, by link.
func (c *Config) mayAnswer(proto uint8, e *packet.Endpoint, link LinkID) bool {
	return c.serves(proto, e, link, true) || c.serves(proto, &packet.Endpoint{Addr: e.Addr}, link, true) || c.ftp.awaits(proto, e.Port)
}

// masked returns a with only its first bits.
func masked(a packet.Addr, bits int) packet.Addr {
	a.Hi &^= ^uint64(0) >> min(bits, 64)
	a.Lo &^= ^uint64(0) >> max(bits-64, 0)
	return a
}

// A service by firewall mark has the address that IPVS gives its templates:
// the mark. No packet goes there, and none has its protocol.
const markedProto = 255

// nowhere is what its servers' slots have for a virtual address.
var nowhere = packet.Addr{Hi: ^uint64(0), Lo: ^uint64(0)}

// pair is what the server's slot stands for.
func (s *Server) pair() conntrack.Pair {
	if s.service.marked() {
		return conntrack.Pair{Virtual: nowhere, Real: s.real.Addr}
	}
	return conntrack.Pair{Virtual: s.service.virtual.Addr, Real: s.real.Addr}
}

func virtualOf(k service.Key) (virtual packet.Endpoint, proto uint8) {
	switch {
	case k.Mark == 0:
		return packet.EndpointFrom(k.Address), uint8(k.Protocol)
	case k.Is6():
		return packet.Endpoint{Addr: packet.Addr{Hi: uint64(k.Mark) << 32}}, markedProto
	}
	return packet.Endpoint{Addr: packet.AddrFrom4(k.Mark)}, markedProto
}

// marked reports whether the service is one by firewall mark.
func (s *Service) marked() bool { return s.proto == markedProto }

// SetMarks replaces the mark rules.
func (r *Roster) SetMarks(rules []service.MarkRule) {
	if slices.Equal(rules, r.rules) && len(r.zones) == len(r.links) {
		return
	}
	r.rules, r.zones, r.last = slices.Clone(rules), nil, nil
	for _, l := range r.links {
		r.zones = append(r.zones, service.Zones(rules, l.Name))
	}
}

// marks returns what mark rules choose for packets of each link, nil if there
// is nothing to choose.
func (r *Roster) marks(c *Config) []*marks {
	services := map[service.Key]int32{}
	for id, s := range c.Services {
		if s.marked() {
			services[s.Key] = int32(id)
		}
	}
	if len(services) == 0 || len(r.rules) == 0 {
		return nil
	}
	all := make([]*marks, len(r.zones))
	for link, zones := range r.zones {
		all[link] = newMarks(zones, services)
	}
	return all
}
