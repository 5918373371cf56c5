package dataplane

import "github.com/lvx-lb/lvx/packet"

// reals finds servers by the endpoints that they answer from. Many services may
// share a server, so the servers of one endpoint hang together.
type reals struct {
	index serviceIndex // into list
	list  []realPlace
}

type realPlace struct {
	slot uint32
	next int32 // the next one of the same endpoint, or noService
}

func newReals(servers []*Server) *reals {
	places := realPlaces(servers)
	x, heads := &reals{list: make([]realPlace, len(places))}, make(map[servicePlace]int32, len(places))
	for i, p := range places {
		x.list[i] = realPlace{uint32(p.id), noService}
		p.id = 0
		if head, ok := heads[p]; ok {
			x.list[i].next = head
		}
		heads[p] = int32(i)
	}
	unique := places[:0]
	for p, head := range heads {
		p.id = head
		unique = append(unique, p)
	}
	x.index = newIndex(unique)
	return x
}

// serves reports whether e is the endpoint of a server of some service whose
// answers come over link; with deleted, also of one that is only kept for its
// connections.
func (c *Config) serves(proto uint8, e *packet.Endpoint, link LinkID, deleted bool) bool {
	if c.reals == nil {
		return false
	}
	for at := c.reals.index.find(proto, e); at != noService; at = c.reals.list[at].next {
		s := c.servers[c.reals.list[at].slot]
		if (deleted || !s.deleted.Load()) && s.links.Load()>>link&1 != 0 {
			return true
		}
	}
	return false
}

// realPlaces lists the endpoints of all servers, by slot; port 0 of those that
// answer from any.
func realPlaces(servers []*Server) (places []servicePlace) {
	for slot, s := range servers {
		if s.gone {
			continue
		}
		protocols, ports := []uint8{s.service.proto}, []uint16{s.real.Port}
		if s.service.marked() {
			protocols = []uint8{packet.TCP, packet.UDP, packet.SCTP}
		}
		if s.real.Port != 0 && s.AnswersFrom().Port() == 0 {
			ports = append(ports, 0)
		}
		for _, p := range protocols {
			for _, port := range ports {
				places = append(places, servicePlace{s.real.Addr, port, p, int32(slot)})
			}
		}
	}
	return places
}
