package lvx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	return d.apply(edits)
}

func (d *Director) apply(edits []service.Edit) error {
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
	old, past := d.set, slices.Clone(d.marking.past)
	if err := d.install(set); err != nil {
		d.set, d.marking.past = old, past // nobody came by the rules of set
		return errors.Join(err, d.install(old))
	}
	return nil
}

// install makes the director follow set. The order is that of "One command" in
// ARCHITECTURE.md: answers are caught before the first request leaves. It costs
// what differs from the set that was installed before.
func (d *Director) install(set *service.Set) error {
	d.roster.Warm(dataplane.Monotonic()())
	if err := d.roster.Apply(set); err != nil {
		return err
	}
	d.marking.outlive(d.set.Marks(), set.Marks())
	d.set = set
	d.roster.SetMarks(set.Marks())
	d.roster.SetSettings(set.Settings())
	d.findLinks(set)
	changes := d.wanted.follow(set)
	if err := d.widen(); err != nil {
		return err
	}
	d.publish()
	d.roster.Publish()
	d.wanted.look(changes)
	return d.steer()
}

// findLinks tells over which links the servers that joined will answer.
func (d *Director) findLinks(set *service.Set) {
	r := newReach(d.mirror, d.links)
	for _, c := range set.Since(d.wanted.set) {
		if c.Is == nil {
			continue
		}
		for _, spec := range c.Is.Servers {
			if s := d.roster.Find(c.Is.Key, spec.Address); s.Links() == 0 {
				s.SetLinks(r.linksTo(spec.Address.Addr()))
			}
		}
	}
}

// publish lets the worker see the roster.
func (d *Director) publish() {
	config := d.roster.Config()
	for _, w := range d.workers {
		stats := w.room(d.roster.Slots())
		w.Do(func() { w.Adopt(config, stats) })
	}
}

// lookAround tells the roster of the links and addresses as they are now.
func (d *Director) lookAround() {
	d.roster.SetLinks(d.links.forWorker(d.mirror))
	d.own = map[netip.Addr]bool{}
	for _, a := range d.mirror.Addresses() {
		if !a.Removed {
			d.own[a.Prefix.Addr()] = true
		}
	}
	addrs := make([]packet.Addr, 0, len(d.own))
	for a := range d.own {
		addrs = append(addrs, packet.AddrFrom(a))
	}
	d.roster.SetOwn(addrs)
}

// widen adds the keys of answers that steering lacks.
func (d *Director) widen() error {
	if !d.steers {
		return nil
	}
	return d.keys.widenReplies()
}

// steer makes the keys of steering those that are wanted. Before Run there
// are none.
func (d *Director) steer() error {
	if !d.steers {
		return nil
	}
	return errors.Join(d.keys.widen(), d.steerMarks(), d.keys.narrow())
}

// afterwards does what no failure undoes: timeouts, zeroed counters,
// addresses. It returns what the operator should know.
func (d *Director) afterwards(edits []service.Edit) (warnings []string) {
	r := newReach(d.mirror, d.links)
	zeroed := map[service.Key]bool{}
	for _, e := range edits {
		switch e.Op {
		case service.SetTimeouts:
			d.setTimeouts(d.set.Timeouts())
		case service.AddService, service.Zero:
			zeroed[e.Service.Key] = true
		case service.AddServer, service.EditServer:
			if server := e.Server.Address.Addr(); r.linksTo(server) == 0 {
				warnings = append(warnings, d.astray(server))
			}
		}
	}
	if len(zeroed) > 0 {
		d.zero(zeroed)
	}
	added, err := d.vips.follow(d.set, d.steers)
	if err != nil {
		warnings = append(warnings, fmt.Sprintf("cannot change the addresses of services: %v", err))
	}
	return append(warnings, added...)
}

// steerOwn tells steering of the director's addresses.
func (d *Director) steerOwn() error {
	if !d.steers {
		return nil
	}
	return d.keys.setOwn(d.own)
}

// keepVIPs sees to the addresses that the director has added, after changes of
// the network.
func (d *Director) keepVIPs(what uint32) error {
	if what&addressesChanged != 0 {
		d.vips.doubt()
	}
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
