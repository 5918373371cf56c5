package lvx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// Apply carries out all edits in order, or none. The errors wrap the
// sentinels of package service. Connections that an edit does not concern
// lose no packet.
func (d *Director) Apply(_ context.Context, edits []service.Edit) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	set := d.set.Clone()
	for i, e := range edits {
		err := d.refuses(&e)
		if err == nil {
			err = set.Apply(e)
		}
		if err != nil {
			if len(edits) > 1 {
				err = fmt.Errorf("edit %d: %w", i+1, err)
			}
			return err
		}
	}
	if err := d.replace(set); err != nil {
		return err
	}
	d.warn(d.afterwards(edits))
	return nil
}

// ApplyEach carries out each edit by itself, in order: one that is refused
// does not stop the next. It returns an error for each, nil for those carried
// out, and what an operator should know all the same.
func (d *Director) ApplyEach(_ context.Context, edits []service.Edit) (refused []error, warnings []string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	set := d.set.Clone()
	refused = make([]error, len(edits))
	done := make([]service.Edit, 0, len(edits))
	for i, e := range edits {
		if refused[i] = d.refuses(&e); refused[i] == nil {
			refused[i] = set.Apply(e)
		}
		if refused[i] == nil {
			done = append(done, e)
		}
	}
	if len(done) == 0 {
		return refused, nil, nil
	}
	if err := d.replace(set); err != nil {
		return nil, nil, err
	}
	warnings = d.afterwards(done)
	d.warn(warnings)
	return refused, warnings, nil
}

func (d *Director) warn(warnings []string) {
	for _, w := range warnings {
		d.log.Warn(w)
	}
}

// replace installs set, or leaves all as it was.
func (d *Director) replace(set *service.Set) error {
	if d.closed {
		return ErrClosed
	}
	old := d.set
	if err := d.install(set); err != nil {
		return errors.Join(err, d.install(old))
	}
	return nil
}

// install makes the director follow set. The order is that of DESIGN's "One
// command": answers are caught before the first request leaves.
func (d *Director) install(set *service.Set) error {
	d.roster.Warm(dataplane.Monotonic()())
	if err := d.roster.Apply(set); err != nil {
		return err
	}
	d.marking.outlive(d.set.Marks(), set.Marks())
	d.set = set
	d.roster.SetMarks(set.Marks())
	d.roster.SetSettings(set.Settings())
	d.publish()
	if err := d.widen(); err != nil {
		return err
	}
	d.roster.Publish()
	return d.steer()
}

// publish lets the worker see the roster.
func (d *Director) publish() {
	r := &routes{d.mirror, d.links}
	for _, s := range d.roster.Servers() {
		if s.Links() == 0 {
			s.SetLinks(r.linksTo(s.Address.Address.Addr()))
		}
	}
	d.roster.SetLinks(d.links.forWorker(d.mirror))
	own := d.ownAddresses()
	addrs := make([]packet.Addr, 0, len(own))
	for a := range own {
		addrs = append(addrs, packet.AddrFrom(a))
	}
	d.roster.SetOwn(addrs)
	config := d.roster.Config()
	for _, w := range d.workers {
		stats := make([]dataplane.Stat, d.roster.Slots())
		w.Do(func() { w.Adopt(config, stats) })
	}
}

func (d *Director) ownAddresses() map[netip.Addr]bool {
	own := map[netip.Addr]bool{}
	for _, a := range d.mirror.Addresses() {
		if !a.Removed {
			own[a.Prefix.Addr()] = true
		}
	}
	return own
}

// wanted lists the keys that steering needs now. A deleted service is steered
// until its last connection is gone, unless it was the last of all; templates
// alone need no steering.
func (d *Director) wanted() (services, replies map[key]bool) {
	services, replies = map[key]bool{}, map[key]bool{}
	is6 := map[bool]bool{} // families that have a service
	everywhere := func(k service.Key) {
		if k.Mark != 0 {
			return // steerMarks has these
		}
		for link := range d.links.list {
			services[key{link, uint8(k.Protocol), k.Address}] = true
		}
	}
	for _, s := range d.set.Services() {
		is6[s.Is6()] = true
		everywhere(s.Key)
	}
	for _, s := range d.roster.Servers() {
		k := s.Service().Key
		if s.Deleted() && s.Idle() || !is6[k.Is6()] {
			continue
		}
		if k.Mark != 0 {
			d.repliesByMark(replies, s)
			continue
		}
		everywhere(k)
		for link := range d.links.list {
			if s.Links()>>link&1 != 0 {
				replies[key{link, uint8(k.Protocol), s.AnswersFrom()}] = true
			}
		}
	}
	return services, replies
}

// widen adds the keys of answers that steering lacks.
func (d *Director) widen() error {
	if !d.steers {
		return nil
	}
	_, replies := d.wanted()
	return errors.Join(d.keys.setOwn(d.ownAddresses()), d.keys.widen(nil, replies))
}

// steer makes the keys of steering those that are wanted. Before Run there
// are none.
func (d *Director) steer() error {
	if !d.steers {
		return nil
	}
	services, replies := d.wanted()
	return errors.Join(d.keys.setOwn(d.ownAddresses()), d.keys.widen(services, replies), d.steerMarks(), d.keys.narrow(services, replies))
}

// afterwards does what no failure undoes: timeouts, zeroed counters,
// addresses. It returns what the operator should know.
func (d *Director) afterwards(edits []service.Edit) (warnings []string) {
	r := &routes{d.mirror, d.links}
	zeroed := map[service.Key]bool{}
	for _, e := range edits {
		switch e.Op {
		case service.SetTimeouts:
			d.setTimeouts(d.set.Timeouts())
		case service.AddService, service.Zero:
			zeroed[e.Service.Key] = true
		case service.AddServer, service.EditServer:
			if server := e.Server.Address.Addr(); r.linksTo(server) == 0 {
				warnings = append(warnings, fmt.Sprintf("no route to server %v leads over a NIC of the director", server))
			}
		}
	}
	if len(zeroed) > 0 {
		d.meters.zero(zeroed, d.roster.Servers(), d.serverStats())
	}
	added, err := d.vips.follow(d.set, d.steers)
	if err != nil {
		warnings = append(warnings, fmt.Sprintf("cannot change the addresses of services: %v", err))
	}
	return append(warnings, added...)
}

// keepVIPs sees to the addresses that the director has added.
func (d *Director) keepVIPs() error {
	if !d.steers {
		return nil
	}
	return d.vips.keep()
}

func (d *Director) setTimeouts(t service.Timeouts) {
	ticks := func(x time.Duration) conntrack.Tick { return conntrack.Tick(x / (100 * time.Millisecond)) }
	all := conntrack.DefaultTimeouts()
	all[conntrack.Established], all[conntrack.FinWait], all[conntrack.UDP] = ticks(t.TCP), ticks(t.TCPFin), ticks(t.UDP)
	d.each(func(w *worker) { w.Table().SetTimeouts(all) })
}
