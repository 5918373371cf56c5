package dataplane

import (
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/scheduler"
	"github.com/lvx-lb/lvx/service"
)

// Roster keeps the running services and servers from one Config to the next:
// a server keeps its slot, and so its connections, until the last of them is
// gone, even if it is deleted and added again in between. It belongs to the
// one goroutine that applies commands.
type Roster struct {
	links    []Link
	own      []packet.Addr
	set      *service.Set             // last applied
	done     *service.Set             // last published
	services map[service.Key]*Service // of set
	leaving  map[service.Key]*Service // of done, and no longer of set
	order    []*Service
	servers  map[serverKey]*Server
	retired  map[*Server]struct{} // of servers: the deleted ones
	slots    []*Server            // with those that are gone, until somebody takes their place
	pairs    []conntrack.Pair     // of slots
	shown    int                  // so many slots a Config has seen: they are copied before they change
	reals    *reals               // of slots; nil: they have changed
	last     *Config              // nil: services or addresses have changed since
	free     []uint32
	routeGen uint16
	changes  []change
	rules    []service.MarkRule
	zones    [][]service.Zone // of rules, by link

	settings   Settings
	deviations service.Deviations
	deletions  atomic.Uint32

	slow Time // how long a slow start takes
	now  Time // as last told

	templates     *Templates // nil until a service is persistent
	templateLimit int

	ftp      *FTP // nil until a service may have control connections
	ftpPorts []uint16
	awaited  []atomic.Uint64
}

type serverKey struct {
	service service.Key
	address netip.AddrPort
}

// NewRoster returns a Roster for a director with the given links.
func NewRoster(links []Link) (*Roster, error) {
	if len(links) > MaxLinks {
		return nil, fmt.Errorf("count links: %d, at most %d", len(links), MaxLinks)
	}
	return &Roster{
		links: slices.Clone(links), set: new(service.Set), done: new(service.Set), services: map[service.Key]*Service{},
		leaving: map[service.Key]*Service{}, servers: map[serverKey]*Server{}, retired: map[*Server]struct{}{}, templateLimit: 1 << 16,
		settings: service.DefaultSettings(), deviations: service.DefaultDeviations(),
	}, nil
}

// LimitTemplates bounds how many clients persistent services remember, 65,536
// by default. It comes before the first Apply.
func (r *Roster) LimitTemplates(n int) { r.templateLimit = n }

// Deviate says in which ways workers differ from IPVS, in place of the
// default ones. It comes before the first Apply.
func (r *Roster) Deviate(s service.Deviations) { r.deviations = s }

// HelpFTP has workers look after the control connections of FTP to some ports,
// none by default. awaited are counters by port that steering reads, nil if
// nobody does. It comes before the first Apply. A port that has no other below it
// for data connections is left out.
func (r *Roster) HelpFTP(ports []uint16, awaited []atomic.Uint64) {
	r.ftpPorts, r.awaited = slices.DeleteFunc(slices.Clone(ports), func(p uint16) bool { return p < 2 }), awaited
}

// Expected calls f for every data connection of FTP that nobody has opened yet.
func (r *Roster) Expected(now conntrack.Tick, f func(Expected)) { r.ftp.Each(now, f) }

// Templates returns those of all services, nil if none was ever persistent.
func (r *Roster) Templates() *Templates { return r.templates }

func sameScheduler(a, b *service.Configured) bool {
	return a.Scheduler == b.Scheduler && slices.Equal(a.Flags, b.Flags)
}

// change is what Publish has to do to one service.
type change struct {
	service   *Service
	wanted    service.Configured
	scheduler scheduler.Scheduler // a new one, or nil
	added     []*Server           // oldest first
}

func (r *Roster) prepare(v service.Configured, sched scheduler.Scheduler) change {
	s := r.running(v.Key)
	if s == nil {
		s = &Service{Key: v.Key, scheduler: sched}
		s.virtual, s.proto = virtualOf(v.Key)
		s.wide = s.proto == packet.TCP && s.virtual.Port == ftpPort && !r.deviations.Has(service.NarrowFTP)
	}
	if r.services[v.Key] == nil {
		r.services[v.Key], r.last = s, nil
		if !s.listed {
			r.order, s.listed = append(r.order, s), true
		}
		delete(r.leaving, v.Key)
	}
	c := change{service: s, wanted: v, scheduler: sched}
	for _, spec := range slices.Backward(v.Servers) {
		srv, joins := r.server(s, spec)
		if joins || srv.Address.Weight == 0 && spec.Weight > 0 {
			srv.warms, srv.began = true, r.now
		}
		srv.Address = spec
		if v.Persistent != 0 && !srv.keepsPorts.Swap(true) {
			r.reals = nil
		}
		srv.quiet.Store(spec.Weight == 0)
		if spec.Weight > 0 {
			srv.severed.Store(false)
		}
		srv.counts.SetThresholds(spec.Upper, spec.Lower)
		if joins {
			c.added = append(c.added, srv)
		}
	}
	return c
}

// Publish gives the schedulers their servers as the last Apply wanted them.
func (r *Roster) Publish() {
	for i := range r.changes {
		r.publish(&r.changes[i])
	}
	r.done, r.changes = r.set, r.changes[:0]
	clear(r.leaving)
}

// publish changes one service. A new scheduler is put on the servers as they
// were, as -E does; new servers join one by one, oldest first, as -a does.
func (r *Roster) publish(c *change) {
	s := c.service
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.scheduler == nil && len(c.added) == 0 && sameList(s.spec.Servers, c.wanted.Servers) {
		// Nobody has edited its servers, and wrr would begin anew.
		s.spec = c.wanted
		return
	}
	if r.retire(s, &c.wanted) {
		r.deletions.Add(1)
	}
	list := slices.DeleteFunc(slices.Clone(s.servers), func(x scheduler.Server) bool {
		srv := r.slots[x.ID]
		return srv.deleted.Load() || slices.Contains(c.added, srv)
	})
	times := r.scale(s, &c.wanted)
	for i := range list {
		srv := r.slots[list[i].ID]
		list[i].Weight = r.weight(srv, times)
		if srv.Address.Weight > 0 {
			list[i].LastWeight = srv.Address.Weight
		}
	}
	if c.scheduler != nil {
		s.scheduler = c.scheduler
	}
	s.scheduler.Update(list)
	for _, srv := range c.added {
		list = slices.Insert(list, 0, srv.seenByScheduler(r.weight(srv, times)))
		s.scheduler.Update(list)
	}
	s.servers, s.spec = list, c.wanted
}

// sameList reports whether no edit has replaced the list: a service.Set never
// writes into one.
func sameList(a, b []service.Server) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (s *Server) seenByScheduler(weight int) scheduler.Server {
	return scheduler.Server{
		ID: s.Slot, Weight: weight, LastWeight: s.Address.Weight, Counts: &s.counts,
		Addr: s.Address.Address.Addr(), Port: s.Address.Address.Port(),
	}
}

// retire marks the servers of s that v does not name, and reports whether
// there are some.
func (r *Roster) retire(s *Service, v *service.Configured) (any bool) {
	for _, x := range s.servers {
		srv := r.slots[x.ID]
		wanted := slices.ContainsFunc(v.Servers, func(w service.Server) bool { return w.Address == srv.Address.Address })
		if !wanted {
			r.bury(srv)
			any = true
		}
	}
	return any
}

// bury marks a server as deleted.
func (r *Roster) bury(s *Server) {
	s.deleted.Store(true)
	r.retired[s] = struct{}{}
}

// server returns the slot for a server of s, and whether it joins the list.
func (r *Roster) server(s *Service, spec service.Server) (srv *Server, joins bool) {
	key := serverKey{s.Key, spec.Address}
	if srv = r.servers[key]; srv != nil {
		srv.service = s
		delete(r.retired, srv)
		return srv, srv.deleted.Swap(false)
	}
	real := packet.EndpointFrom(spec.Address)
	r.reals = nil
	srv = &Server{
		service: s, real: real, Address: spec,
		toServer: r.rewrite(s.virtual, real),
		toClient: r.rewrite(real, s.virtual),
	}
	if n := len(r.free); n > 0 {
		srv.Slot, r.free = r.free[n-1], r.free[:n-1]
		r.copySlots()
		r.slots[srv.Slot], r.pairs[srv.Slot] = srv, srv.pair()
	} else {
		srv.Slot = uint32(len(r.slots))
		r.slots, r.pairs = append(r.slots, srv), append(r.pairs, srv.pair())
	}
	r.servers[key] = srv
	return srv, true
}

// copySlots keeps a Config from seeing how slots that it knows change hands.
// What is appended it does not see.
func (r *Roster) copySlots() {
	if r.shown > 0 {
		r.slots, r.pairs, r.shown = slices.Clone(r.slots), slices.Clone(r.pairs), 0
	}
}

func (r *Roster) rewrite(old, new packet.Endpoint) packet.Rewrite {
	x := packet.NewRewrite(old, new)
	x.FillsUDP = !r.deviations.Has(service.EmptyUDPChecksum)
	x.FillsSCTP = !r.deviations.Has(service.WrongSCTPChecksum)
	return x
}

// Collect forgets deleted servers whose last connection and template are gone
// and returns them. Their slots are used again only by Configs made later.
func (r *Roster) Collect() []*Server {
	var gone []*Server
	for srv := range r.retired {
		if srv.Idle() && srv.Templates() == 0 {
			delete(r.retired, srv)
			delete(r.servers, serverKey{srv.service.Key, srv.Address.Address})
			srv.gone, r.reals = true, nil
			r.free = append(r.free, srv.Slot)
			gone = append(gone, srv)
		}
	}
	return gone
}

// Deleted calls f for the servers that are only kept for what they have begun.
func (r *Roster) Deleted(f func(*Server)) {
	for srv := range r.retired {
		f(srv)
	}
}

// Servers returns all servers that have a slot, the deleted ones that still
// have connections among them.
func (r *Roster) Servers() []*Server {
	var all []*Server
	for _, s := range r.slots {
		if !s.gone {
			all = append(all, s)
		}
	}
	return all
}

// At returns the server that has a slot, nil if none has.
func (r *Roster) At(slot uint32) *Server {
	if int64(slot) >= int64(len(r.slots)) || r.slots[slot].gone {
		return nil
	}
	return r.slots[slot]
}

// Find returns the running server of a service, nil if there is none.
func (r *Roster) Find(k service.Key, address netip.AddrPort) *Server {
	return r.servers[serverKey{k, address}]
}

// Deleted reports whether the server is only kept for its connections.
func (s *Server) Deleted() bool { return s.deleted.Load() }

// SetLinks replaces the links: addresses, MTUs and MACs change while running.
// Their number and order stay.
func (r *Roster) SetLinks(links []Link) {
	if !slices.Equal(links, r.links) {
		r.links, r.last = slices.Clone(links), nil
	}
}

// SetOwn replaces the addresses of the director itself.
func (r *Roster) SetOwn(own []packet.Addr) { r.own, r.last = slices.Clone(own), nil }

// SetSettings replaces the settings.
func (r *Roster) SetSettings(s Settings) {
	if s.SnatReroute != r.settings.SnatReroute {
		r.RoutesChanged()
	}
	r.settings = s
}

// RoutesChanged makes the next Config ask the routes again for every
// connection.
func (r *Roster) RoutesChanged() { r.routeGen++ }

// Slots returns how many slots there are, used or not.
func (r *Roster) Slots() int { return len(r.slots) }

// Config returns the picture for the workers. It shares with the last one what
// has not changed.
func (r *Roster) Config() *Config {
	if r.last == nil {
		r.last = r.survey()
	}
	c := *r.last
	c.servers, c.pairs, c.routeGen = slices.Clip(r.slots), slices.Clip(r.pairs), r.routeGen
	c.templates, c.Settings = r.templates, r.settings
	c.plain = c.Settings.ExpireNodestConn == 0
	r.shown = len(r.slots)
	if c.Settings.NatIcmpSend != 0 || c.marks != nil {
		if r.reals == nil {
			r.reals = newReals(r.slots)
		}
		c.reals = r.reals
	}
	if r.templates != nil {
		r.templates.know(c.servers)
	}
	return &c
}

// survey looks at all services and addresses.
func (r *Roster) survey() *Config {
	c := &Config{Links: slices.Clone(r.links), Deviations: r.deviations, deletions: &r.deletions}
	own := slices.Clone(r.own)
	var talking []packet.Addr // addresses of services that have data connections
	c.ftpPorts = r.ftpPorts
	if !r.deviations.Has(service.NarrowFTP) {
		c.ftpPorts = append([]uint16{ftpPort}, r.ftpPorts...)
	}
	marked := false
	r.order = slices.DeleteFunc(r.order, func(s *Service) bool {
		s.listed = r.services[s.Key] == s
		return !s.listed
	})
	for _, s := range r.order {
		c.Services = append(c.Services, s)
		if s.marked() {
			marked = true
			continue
		}
		c.anyPort = c.anyPort || s.virtual.Port == 0
		if s.proto == packet.TCP && slices.Contains(c.ftpPorts, s.virtual.Port) {
			talking = append(talking, s.virtual.Addr)
		}
		own = append(own, s.virtual.Addr)
	}
	c.index, c.own, c.called = newServiceIndex(c.Services), newAddrSet(own), calledOf(c.Services)
	if r.ftp == nil && len(r.ftpPorts) > 0 && (marked || c.anyPort || len(talking) > 0) {
		r.ftp = newFTP(r.ftpPorts, r.awaited)
	}
	c.ftp, c.ftpVIPs = r.ftp, newAddrSet(talking)
	c.spreads = c.anyPort || len(talking) > 0
	c.joinLinks()
	c.marks = r.marks(c)
	return c
}
