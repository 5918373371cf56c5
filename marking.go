package lvx

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/lvx-lb/lvx/bpf"
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/service"
)

// marking is what steering is told of mark rules.
type marking struct {
	past  []service.MarkRule // rules that are gone, but not all connections that they led to
	rules []service.MarkRule // that zones were made of: past ones, then present ones
	zones [][]service.Zone   // by link
	told  bool               // steering has some
	open  bool               // and other ones may be wanted

	patrol *patrol // for past rules that no connection needs, if it is under way
}

// patrol is a walk through the connections of all workers, part by part: which
// rules have they come by? A change of rules ends it.
type patrol struct {
	rules  []service.MarkRule
	needed []bool
	seen   map[arrival]bool
	worker int
	at     conntrack.Index
}

// Marks returns the mark rules in the order in which they count.
func (d *Director) Marks(context.Context) ([]service.MarkRule, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	return d.set.Marks(), nil
}

// refuses says why an edit cannot be one of this machine.
func (d *Director) refuses(e *service.Edit) error {
	if e.Op != service.AddMark || e.Mark.NIC == "" ||
		slices.ContainsFunc(d.links.list, func(l linkFacts) bool { return l.name == e.Mark.NIC }) {
		return nil
	}
	return fmt.Errorf("%v: %w: %s is no NIC of the director", e, service.ErrInvalid, e.Mark.NIC)
}

// outlive keeps the rules that are in old and not in new for their
// connections.
func (m *marking) outlive(old, new []service.MarkRule) {
	if slices.Equal(old, new) {
		return
	}
	m.patrol = nil
	for _, r := range old {
		if !slices.Contains(new, r) && !slices.Contains(m.past, r) {
			m.past = append(m.past, r)
		}
	}
	m.past = slices.Delete(m.past, 0, max(0, len(m.past)-service.MaxMarks))
}

// lay lays out the past and present rules for each link. Past ones come first:
// what they lead to is steered, whatever others say, and workers know better.
func (m *marking) lay(present []service.MarkRule, l *links) {
	rules := slices.Concat(m.past, present)
	if m.zones != nil && slices.Equal(rules, m.rules) {
		return
	}
	m.rules, m.zones, m.open = rules, nil, true
	for _, f := range l.list {
		m.zones = append(m.zones, service.Zones(rules, f.name))
	}
}

// protocols returns those of the packets that have a mark.
func (m *marking) protocols(k service.Key, present []service.MarkRule) []uint8 {
	var found []uint8
	for _, p := range []service.Protocol{service.TCP, service.UDP, service.SCTP} {
		leads := func(r service.MarkRule) bool { return r.Key() == k && (r.Protocol == 0 || r.Protocol == p) }
		if slices.ContainsFunc(m.past, leads) || slices.ContainsFunc(present, leads) {
			found = append(found, uint8(p))
		}
	}
	return found
}

// steerMarks tells steering which packets have the mark of a service, or of
// connections of one that was deleted.
func (d *Director) steerMarks() error {
	m, wanted := &d.marking, d.wanted.marks
	if len(wanted) == 0 && !m.told {
		return nil
	}
	m.told = true
	if m.lay(d.set.Marks(), d.links); !m.open {
		return nil
	}
	for i, f := range d.links.list {
		var zones []bpf.Zone
		for _, z := range m.zones[i] {
			if len(wanted) > 0 {
				zones = append(zones, bpf.Zone{Protocol: uint8(z.Protocol), Prefix: z.Prefix, Ports: portsOf(z, wanted)})
			}
		}
		if err := d.steering.SetZones(f.key, zones); err != nil {
			return err
		}
	}
	m.told, m.open = len(wanted) > 0, false
	return nil
}

func portsOf(z service.Zone, wanted map[service.Key]int) (ports [][2]uint16) {
	rule := service.MarkRule{Prefix: z.Prefix}
	for _, s := range z.Spans {
		if rule.Mark = s.Mark; wanted[rule.Key()] > 0 {
			ports = append(ports, [2]uint16{s.From, s.To})
		}
	}
	return ports
}

// partsASecond bounds how long the walk keeps the director from the network.
const partsASecond = 512

// forgetMarks drops the past rules that no connection needs any more. It
// begins to look for them when it is due, and goes on where it was; between
// two parts others may change the director.
func (d *Director) forgetMarks(due bool) error {
	for range partsASecond {
		if more, err := d.goOnForgetting(due); !more {
			return err
		}
	}
	return nil
}

func (d *Director) goOnForgetting(due bool) (more bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := &d.marking
	switch p := m.patrol; {
	case p == nil && due && len(m.past) > 0:
		m.patrol = &patrol{rules: slices.Clone(m.past), needed: make([]bool, len(m.past)), seen: map[arrival]bool{}}
		return true, nil
	case p == nil:
		return false, nil
	case p.worker < len(d.workers):
		d.arrivals(p)
		return true, nil
	}
	past := len(m.past)
	m.past = m.patrol.kept()
	if m.patrol = nil; len(m.past) == past {
		return false, nil
	}
	if d.wanted.remarked() {
		d.wanted.lookAll()
	}
	return false, d.steer()
}

// kept returns the rules that some connection needs.
func (p *patrol) kept() (kept []service.MarkRule) {
	for i, r := range p.rules {
		if p.needed[i] {
			kept = append(kept, r)
		}
	}
	return kept
}

// arrival is what the mark of a connection's packets was chosen by, and for.
type arrival struct {
	mark  service.Key
	proto service.Protocol
	to    netip.AddrPort
}

// maxArrivals bounds how many are remembered, so as not to be looked at twice.
const maxArrivals = 1 << 16

// arrivals looks how the next connections came that have a VIP of their own.
// Workers only copy: to go through all rules would keep them from packets.
func (d *Director) arrivals(p *patrol) {
	part, w := make([]arrival, 0, connsAtOnce), d.workers[p.worker]
	w.Do(func() {
		table := w.Table()
		p.at = table.Walk(p.at, connsAtOnce, func(i conntrack.Index, r *conntrack.Record) {
			if s := d.roster.At(r.Server); s != nil && r.Flags&conntrack.Elsewhere != 0 {
				part = append(part, arrival{s.Service().Key, service.Protocol(r.Proto()), endpointOf(table, i, r)})
			}
		})
	})
	for _, a := range part {
		if !p.seen[a] {
			p.seen[a] = true
			needs(p.rules, p.needed, a)
		}
	}
	if len(p.seen) > maxArrivals {
		clear(p.seen)
	}
	if p.at == conntrack.None {
		p.worker, p.at = p.worker+1, 0
	}
}

// needs notes which rules a connection may have come by.
func needs(rules []service.MarkRule, needed []bool, a arrival) {
	for i := range rules {
		if r := &rules[i]; !needed[i] && r.Key() == a.mark && r.Takes(a.proto, a.to) {
			needed[i] = true
		}
	}
}

func endpointOf(t *conntrack.Table, i conntrack.Index, r *conntrack.Record) netip.AddrPort {
	return netip.AddrPortFrom(t.Virtual(i).Netip(), r.VPort)
}
