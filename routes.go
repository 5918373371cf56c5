package lvx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/route"
)

// routes answers the worker out of the mirror. A route that leads out of a
// NIC that is not the director's is none.
type routes struct {
	mirror *route.Mirror
	links  *links
}

var refusals = map[route.Kind]dataplane.Refusal{
	route.Unreachable: dataplane.Unreachable, route.Prohibit: dataplane.Prohibited, route.Blackhole: dataplane.Blackhole,
}

// Next implements dataplane.Routes.
func (r *routes) Next(dst, src packet.Addr, in dataplane.LinkID, hash uint32) (dataplane.Next, bool) {
	ifindex := 0
	if in != dataplane.Here {
		ifindex = r.links.list[in].ifindex
	}
	n := r.mirror.Lookup(dst.Netip(), src.Netip(), ifindex, hash)
	if n.Kind != route.Unicast {
		return dataplane.Next{Refused: refusals[n.Kind]}, false
	}
	id, ok := r.links.byIfindex(n.Ifindex)
	if !ok {
		return dataplane.Next{}, false
	}
	via := dst
	if n.Gateway.IsValid() {
		via = packet.AddrFrom(n.Gateway)
	}
	return dataplane.Next{Link: id, Via: via, MTU: n.MTU, Fixed: n.Fixed}, true
}

// reach tells where routes to servers lead, and asks for each server once.
type reach struct {
	*routes
	known map[netip.Addr]uint64
}

func newReach(m *route.Mirror, l *links) reach {
	return reach{&routes{m, l}, map[netip.Addr]uint64{}}
}

// linksTo returns the set of links that frames to a server may take, and so
// its answers come from: with several gateways, every one that some client's
// hash chooses.
func (r reach) linksTo(server netip.Addr) uint64 {
	if set, ok := r.known[server]; ok {
		return set
	}
	var set uint64
	for share := range uint32(64) {
		if n := r.mirror.Lookup(server, netip.Addr{}, 0, share<<26); n.Kind == route.Unicast {
			if id, ok := r.links.byIfindex(n.Ifindex); ok {
				set |= 1 << id
			}
		}
	}
	r.known[server] = set
	return set
}

// astray says of a server to which no NIC of the director leads where the
// route leads.
func (d *Director) astray(server netip.Addr) string {
	n := d.mirror.Lookup(server, netip.Addr{}, 0, 0)
	l, err := d.mirror.Link(n.Ifindex)
	switch {
	case n.Kind == route.Local:
		return fmt.Sprintf("server %v is the director itself; packets for it are dropped, as lvx sends by NICs only", server)
	case n.Kind == route.Unicast && err == nil:
		return fmt.Sprintf("the route to server %v leads over %s, which is no NIC of the director; packets for it are dropped until that one is named, too (--private %s)", server, l.Name, l.Name)
	}
	return fmt.Sprintf("no route leads to server %v; packets for it are dropped until there is one", server)
}

// neighbourChanged tells the hops. It is called by the mirror's goroutine.
func (d *Director) neighbourChanged(n route.Neighbour) {
	if !d.opened.Load() {
		return
	}
	id, ok := d.links.byIfindex(n.Ifindex)
	if !ok {
		return
	}
	switch n.State {
	case route.Usable:
		d.hops.Set(id, packet.AddrFrom(n.IP), dataplane.HopUsable, n.MAC)
	case route.Failed:
		d.hops.Set(id, packet.AddrFrom(n.IP), dataplane.HopFailed, dataplane.MAC{})
	default:
		return
	}
	for _, w := range d.workers {
		w.Wake()
	}
}

// keepHops resolves the hops that workers ask for.
func (d *Director) keepHops(ctx context.Context) {
	// A refused question is asked again; without one this costs nothing.
	const pause = 100 * time.Millisecond
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.hops.Wanted():
		case <-again:
		}
		refused := false
		d.hops.Each(func(link dataplane.LinkID, addr packet.Addr, state dataplane.HopState, _ uint32) {
			if state != dataplane.HopWanted || refused {
				return
			}
			err := d.resolve(link, addr.Netip())
			refused = errors.Is(err, route.ErrBusy)
			if err != nil && !refused {
				d.hops.Set(link, addr, dataplane.HopFailed, dataplane.MAC{})
			}
		})
		if again = nil; refused {
			again = time.After(pause)
		}
	}
}

// resolve asks for a neighbour, or takes what the kernel knows already.
func (d *Director) resolve(link dataplane.LinkID, ip netip.Addr) error {
	ifindex := d.links.list[link].ifindex
	err := d.mirror.Resolve(ifindex, ip)
	if n := d.mirror.Neighbour(ifindex, ip); n.State == route.Usable {
		d.neighbourChanged(n)
		return nil
	}
	return err
}

// unusedTicks is after how long a hop that nothing was sent to is given up:
// five minutes.
const unusedTicks = 5 * 60 * 10

// sweepHops gives up hops that nothing was sent to for long. No connection
// names them any more once the worker has seen the routes change.
func (d *Director) sweepHops() {
	unused := unusedAt(uint32(dataplane.Monotonic()() / (dataplane.Second / 10)))
	any := false
	d.hops.Each(func(_ dataplane.LinkID, _ packet.Addr, _ dataplane.HopState, used uint32) { any = any || unused(used) })
	if !any {
		return
	}
	d.roster.RoutesChanged()
	d.publish()
	for _, h := range d.hops.Sweep(unused) {
		d.mirror.Release(d.links.list[h.Link].ifindex, h.Addr.Netip())
	}
}

// unusedAt tells which hops were not used for long at the tick now. Workers go
// on using others meanwhile, later than now.
func unusedAt(now uint32) func(used uint32) bool {
	return func(used uint32) bool { return int32(now-used) > unusedTicks }
}
