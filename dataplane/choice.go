package dataplane

import (
	"time"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/scheduler"
	"github.com/lvx-lb/lvx/service"
)

// Features are what workers carry out besides plain services.
const Features = service.Persistence | service.Thresholds | service.OnePacket | service.AnyPort | service.SCTPServices | service.Marks

// call is a packet that needs a connection.
type call struct {
	key    scheduler.Key
	client packet.Addr
	port   uint16 // that it calls
	state  conntrack.State
	now    conntrack.Tick
}

// choice is what a new connection is made of.
type choice struct {
	server   *Server
	port     uint16 // of the server
	state    conntrack.State
	template uint32 // that keeps the client with the server, 0 = none
}

// choose finds a server for a client and counts the connection, so that a
// server is never forgotten between the two.
func (s *Service) choose(c *Config, who *call) (choice, Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got, why := s.serverFor(c, who)
	if why != Unexplained {
		return got, why
	}
	got.port, got.state = who.port, who.state
	if real := got.server.real.Port; real != 0 && s.maps(who.port) {
		got.port = real
	}
	if s.spec.OnePacket && who.state == conntrack.UDP { // a mark may have other protocols
		got.state = conntrack.OnePacket
	}
	if got.state == conntrack.OnePacket && !c.Deviations.Has(service.OnePacketAnswers) {
		got.server.glimpse()
	}
	got.server.begin(got.state)
	return got, Unexplained
}

// maps reports whether packets to a port get the port of their server, if it
// has one. As with IPVS, those of a persistent service by firewall mark do not.
func (s *Service) maps(port uint16) bool {
	return port == s.virtual.Port || s.marked() && s.spec.Persistent == 0
}

// serverFor asks the client's template, or the scheduler. A template knows
// neither weight 0, unless expire_quiescent_template says so, nor overload.
// Without one, nothing is served but the service's own port.
func (s *Service) serverFor(c *Config, who *call) (choice, Reason) {
	t := c.templates
	if s.spec.Persistent == 0 || t == nil {
		if !s.owns(who.port) {
			return choice{}, NoServer
		}
		srv := s.schedule(c, who)
		return choice{server: srv}, reasonWithout(srv)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := s.templateKey(who.client)
	n := t.find(&key, who.now)
	if n != 0 && c.Settings.ExpireQuiescentTemplate != 0 && t.servers[t.at(n).slot].quiet.Load() {
		t.annul(n)
		n = 0
	}
	if n == 0 {
		srv := s.schedule(c, who)
		if srv == nil {
			return choice{}, NoServer
		}
		timeout := conntrack.Tick(s.spec.Persistent / (100 * time.Millisecond))
		if n = t.insert(&key, srv, timeout, who.now); n == 0 {
			return choice{}, TemplatesFull
		}
	}
	t.control(n, who.now)
	return choice{server: t.servers[t.at(n).slot], template: n}, Unexplained
}

// schedule returns nil if no server is usable.
func (s *Service) schedule(c *Config, who *call) *Server {
	if i := s.scheduler.Pick(s.servers, who.key); i >= 0 {
		return c.servers[s.servers[i].ID]
	}
	return nil
}

func reasonWithout(s *Server) Reason {
	if s == nil {
		return NoServer
	}
	return Unexplained
}

// network returns what clients that a mask makes one have in common.
func network(a packet.Addr, m service.Netmask) packet.Addr {
	switch {
	case a.Is4():
		return packet.AddrFrom4(a.V4() & m.IPv4())
	case m == 0:
		return a
	}
	return masked(a, int(m))
}

// begin counts a connection of the server.
func (s *Server) begin(state conntrack.State) {
	if state == conntrack.OnePacket {
		s.awaited.Add(1)
		return
	}
	s.counts.Begin(state.Active())
}

// glimpse counts a connection that is there for one packet, which may leave the
// server overloaded.
func (s *Server) glimpse() {
	s.counts.Begin(false)
	s.counts.End(false)
}

// end takes a connection off the counts.
func (s *Server) end(state conntrack.State) {
	if state == conntrack.OnePacket {
		s.awaited.Add(-1)
		return
	}
	s.counts.End(state.Active())
}

// connect inserts the connection of packet i. A datagram that opens none only
// needs to have its answer awaited.
func (w *Worker) connect(b *Batch, i int, got *choice) {
	s := got.server
	w.stats[s.Slot].Conns++
	w.Counters.NewConns++
	if got.state == conntrack.OnePacket {
		w.release(got)
		if b.conn[i] = w.table.Awaited(b.hash[i], b.proto[i], b.client[i], b.other[i], s.Slot); b.conn[i] != conntrack.None {
			s.end(got.state)
			return
		}
	}
	at, room := w.insert(b, i, got)
	w.settleGone()
	if room != conntrack.OK {
		s.end(got.state)
		w.release(got)
		w.stats[s.Slot].Conns--
		w.Counters.NewConns--
		b.finish(i, Drop, reasonOf(room))
		return
	}
	rec := w.table.At(at)
	rec.ServerHop, rec.ClientHop, rec.RouteGen = uint16(noHop), uint16(noHop), w.config.routeGen
	if got.template != 0 {
		rec.Flags |= controlled
		w.control[at] = got.template
		if got.state.Established() { // with sloppy_tcp
			w.assure(at, rec)
		}
	}
	w.attend(at, rec)
	b.conn[i] = at
	if got.state == conntrack.OnePacket && !w.config.Deviations.Has(service.OnePacketAnswers) {
		w.spent = append(w.spent, w.table.Name(at))
	}
	if b.kinds[i] == kindError {
		w.table.Hasten(at, errorLife)
	}
}

// insert makes the record of packet i's connection.
func (w *Worker) insert(b *Batch, i int, got *choice) (conntrack.Index, conntrack.Room) {
	slot, client, virtual := got.server.Slot, b.client[i], b.other[i]
	if w.config.Services[b.service[i]].marked() {
		return w.table.InsertElsewhere(w.tick, b.hash[i], b.proto[i], client, virtual, slot, got.port, got.state)
	}
	return w.table.Insert(w.tick, b.hash[i], b.proto[i], client, slot, virtual.Port, got.port, got.state)
}

// errorLife is how long IPVS keeps a connection that an ICMP error opened.
const errorLife = 3 * conntrack.Second

// release lets go of the template of a choice.
func (w *Worker) release(got *choice) {
	if got.template != 0 {
		w.config.templates.release(got.template, w.tick)
		got.template = 0
	}
}
