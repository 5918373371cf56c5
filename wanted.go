package lvx

import (
	"net/netip"
	"slices"

	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/service"
)

// wanted says what steering should know: the services, and what answers their
// servers give. A deleted service is steered until its last connection is gone,
// unless it was the last of its family; templates alone need no steering.
type wanted struct {
	keys     *keys
	marking  *marking
	rules    []service.MarkRule  // past and present ones, at the last look
	marks    map[service.Key]int // services by firewall mark, and their servers
	set      *service.Set
	roster   *dataplane.Roster
	families [2]int // services of IPv4 and IPv6
	servers  map[*dataplane.Server]stake
}

// stake is what one server needs of steering.
type stake struct {
	service   service.Key
	called    netip.AddrPort // where the service's packets go
	protocols [3]uint8       // of its answers, 0 = none
	answers   netip.AddrPort
	links     uint64 // that they come over
}

func newWanted(k *keys, m *marking, r *dataplane.Roster) *wanted {
	return &wanted{
		keys: k, marking: m, marks: map[service.Key]int{}, set: new(service.Set), roster: r, servers: map[*dataplane.Server]stake{},
	}
}

// follow goes on to another set, and returns what differs.
func (w *wanted) follow(set *service.Set) []service.Change {
	before, changes := w.families, set.Since(w.set)
	w.set = set.Clone()
	for _, c := range changes {
		by := 1
		switch {
		case c.Was != nil && c.Is != nil:
			by = 0
		case c.Is == nil:
			by = -1
		}
		if by != 0 {
			w.families[familyOf(c.Key())] += by
			w.everywhere(c.Key(), by)
		}
	}
	anew := w.remarked()
	for family, n := range w.families {
		anew = anew || (n == 0) != (before[family] == 0)
	}
	if anew {
		w.lookAll()
	}
	w.look(changes)
	return changes
}

// remarked reports whether mark rules have come or gone since the last time.
func (w *wanted) remarked() bool {
	rules := slices.Concat(w.marking.past, w.set.Marks())
	same := slices.Equal(rules, w.rules)
	w.rules = rules
	return !same
}

func familyOf(k service.Key) int {
	if k.Is6() {
		return 1
	}
	return 0
}

// everywhere claims the key of a service on all links, or its mark.
func (w *wanted) everywhere(k service.Key, by int) {
	if k.Mark != 0 {
		if w.marks[k] == 0 || w.marks[k]+by == 0 {
			w.marking.open = true
		}
		if w.marks[k] += by; w.marks[k] == 0 {
			delete(w.marks, k)
		}
		return
	}
	for link := range w.keys.links.list {
		w.keys.service.claim(key{link, uint8(k.Protocol), k.Address}, by)
	}
}

// look follows the servers that changes name.
func (w *wanted) look(changes []service.Change) {
	for _, c := range changes {
		for _, v := range []*service.Configured{c.Was, c.Is} {
			if v == nil {
				continue
			}
			for _, spec := range v.Servers {
				if s := w.roster.Find(v.Key, spec.Address); s != nil {
					w.lookAt(s)
				}
			}
		}
	}
}

// lookAll follows all servers: routes have changed, or a family.
func (w *wanted) lookAll() {
	for _, s := range w.roster.Servers() {
		w.lookAt(s)
	}
}

// lookAt follows one server.
func (w *wanted) lookAt(s *dataplane.Server) {
	k := s.Service().Key
	now := stake{service: k, called: s.CalledAt(), answers: s.AnswersFrom(), links: s.Links()}
	if now.protocols[0] = uint8(k.Protocol); k.Mark != 0 {
		copy(now.protocols[:], w.marking.protocols(k, w.set.Marks()))
	}
	if s.Deleted() && s.Idle() || w.families[familyOf(k)] == 0 {
		now = stake{}
	}
	before := w.servers[s]
	if now == before {
		return
	}
	w.claim(now, 1)
	w.claim(before, -1)
	if now == (stake{}) {
		delete(w.servers, s)
		return
	}
	w.servers[s] = now
}

func (w *wanted) claim(x stake, by int) {
	if x == (stake{}) {
		return
	}
	w.everywhere(x.service, by)
	if x.called != x.service.Address {
		w.everywhere(service.Key{Protocol: x.service.Protocol, Address: x.called}, by)
	}
	for link := range w.keys.links.list {
		for _, p := range x.protocols {
			if p != 0 && x.links>>link&1 != 0 {
				w.keys.reply.claim(key{link, p, x.answers}, by)
			}
		}
	}
}
