package lvx

import (
	"errors"
	"sync/atomic"

	"github.com/lvx-lb/lvx/route"
)

// changes collects what has changed in the network until somebody follows it.
type changes struct {
	bits *atomic.Uint32
	wake chan struct{}
}

// What can change.
const (
	linksChanged uint32 = 1 << iota
	addressesChanged
	routesChanged
	programsLost
)

func newChanges() changes { return changes{new(atomic.Uint32), make(chan struct{}, 1)} }

func (c *changes) note(what uint32) {
	c.bits.Or(what)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changes) take() uint32 { return c.bits.Swap(0) }

// followNetwork makes steering and worker see links, addresses and routes as
// they are now. A route's new links get their keys before the old ones go.
func (d *Director) followNetwork(what uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || what == 0 {
		return
	}
	var errs []error
	if what&linksChanged != 0 {
		errs = append(errs, d.followNICs(what&programsLost != 0))
	}
	if what&routesChanged != 0 {
		d.roster.RoutesChanged()
		d.widenLinks()
		errs = append(errs, d.widen())
	}
	d.lookAround()
	d.publish()
	errs = append(errs, d.steerOwn(), d.steer(), d.keepVIPs(what))
	if what&routesChanged != 0 {
		d.narrowLinks()
		errs = append(errs, d.steer())
	}
	if err := errors.Join(errs...); err != nil {
		d.log.Error("cannot follow a change of the network", "error", err)
	}
}

// noteLink is told of every change of a link.
func (d *Director) noteLink(l route.Link) {
	what := linksChanged
	if !l.Up && forgetsProgram[l.Driver] {
		what |= programsLost
	}
	d.network.note(what)
}

// forgetsProgram are the drivers that run no XDP program any more once the NIC
// was down, although they show one (seen with kernels 6.12 and 7.2).
var forgetsProgram = map[string]bool{"vmxnet3": true}

// followNICs follows MAC addresses, and attaches steering again where a driver
// has lost it.
func (d *Director) followNICs(lost bool) error {
	var errs []error
	for i := range d.links.nics {
		n := &d.links.nics[i]
		l, err := d.mirror.Link(n.ifindex)
		if err != nil {
			if !n.gone {
				n.gone = true
				d.log.Error("a NIC is gone, and its sockets with it; restart lvx when it is back", "nic", n.name)
			}
			continue
		}
		if l.Name != n.name {
			d.log.Warn("a NIC was renamed; mark rules call it by its old name until lvx is started again", "was", n.name, "is", l.Name)
			n.name = l.Name
		}
		d.tellTrouble(n, l)
		n.macs = l.MACs
		errs = append(errs, d.steering.SetMACs(n.ifindex, l.MACs))
		n.lost = n.lost || lost && forgetsProgram[n.driver]
		if n.lost && l.Up && d.steers {
			errs = append(errs, d.steering.Detach(n.ifindex), d.steering.Attach(n.ifindex, d.rings.generic()))
			n.lost = false
		}
	}
	return errors.Join(errs...)
}

// tellTrouble says what keeps a NIC from its work, once, and when that is over.
func (d *Director) tellTrouble(n *nicFacts, l route.Link) {
	why := unusable(l)
	if why == "" && !l.Carrier {
		why = "it has no carrier; nothing comes or goes by it until its other end is up"
	}
	switch {
	case why == n.trouble:
	case why == "":
		d.log.Info("a NIC works again", "nic", n.name)
	default:
		d.log.Warn("trouble with a NIC", "nic", n.name, "why", why)
	}
	n.trouble = why
}

// widenLinks adds the links that routes to a server use now. Those that answers
// may still come over stay.
func (d *Director) widenLinks() {
	r := newReach(d.mirror, d.links)
	for _, s := range d.roster.Servers() {
		s.SetLinks(s.Links() | r.linksTo(s.Address.Address.Addr()))
	}
	d.wanted.lookAll()
}

// narrowLinks forgets the links that no route to a server uses any more. A
// server that has lost its route altogether keeps them: it may come back.
func (d *Director) narrowLinks() {
	r := newReach(d.mirror, d.links)
	for _, s := range d.roster.Servers() {
		if to := r.linksTo(s.Address.Address.Addr()); to != 0 {
			s.SetLinks(to)
		}
	}
	d.wanted.lookAll()
}
