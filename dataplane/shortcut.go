package dataplane

import (
	"math/bits"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
)

// The shortcut is what the stages do with plain packets: those whose headers
// need no more than a glance, of connections that they change nothing about.
// It takes half the instructions and decides nothing: a packet with
// anything unusual about it, at whatever stage, unfolds and goes on as all
// others do. A test lets both ways take the same packets.

// glance is parse and aim for a plain packet i. False means that it is no such.
func (w *Worker) glance(b *Batch, i int) bool {
	c, p := w.config, &b.plain[i]
	frame := w.pool.Data(b.frames[i])
	link := c.untagged[b.nics[i]]
	if link == noLink || b.how[i] != asReceived || !p.Glance(frame) || p.TCPFlags&packet.SYN != 0 ||
		c.own.hasPlain(p.Src) {
		return false
	}
	p.Partial = c.isPartial(link) && p.Unfinished(frame)
	client, dir := p.Src, conntrack.ToServer
	if !c.called.has(p.Dst) {
		client, dir = p.Dst, conntrack.ToClient
	}
	if w.crew != nil {
		if to := w.crew.owner(client.Endpoint()); to != w.self {
			b.kinds[i] = kindFlow // as which it is counted if NICs should have placed it
			return !c.knowsMore() && w.handOver(b, i, to, asReceived)
		}
	}
	b.kinds[i], b.link[i], b.dir[i], b.hash[i] = kindPlain, link, dir, w.table.HashPlain(client)
	return true
}

// knowsMore reports whether there are services that glance does not know.
func (c *Config) knowsMore() bool { return c.marks != nil || c.spreads }

// called are the endpoints of services over IPv4.
type called struct {
	plainSet
	anyPort bool // a service has port 0
}

func calledOf(services []*Service) called {
	var x called
	var keys []packet.PlainEndpoint
	for _, s := range services {
		if v := s.virtual; v.Addr.Is4() && !s.marked() {
			x.anyPort = x.anyPort || v.Port == 0
			keys = append(keys, packet.PlainEndpointFrom(s.proto, v.Port, v.Addr.V4()))
		}
	}
	x.plainSet = newPlainSet(keys)
	return x
}

func (x *called) has(e packet.PlainEndpoint) bool {
	return x.plainSet.has(e) || x.anyPort && x.plainSet.has(e.WithPort(0))
}

// plainSet is a set of words other than 0: open addressing, at most half full.
type plainSet struct {
	keys  []packet.PlainEndpoint // 0 = free
	shift uint8
}

func newPlainSet(keys []packet.PlainEndpoint) plainSet {
	size := max(16, 1<<bits.Len(uint(2*len(keys))))
	x := plainSet{make([]packet.PlainEndpoint, size), uint8(64 - bits.Len(uint(size-1)))}
	for _, key := range keys {
		i := x.home(key)
		for x.keys[i&(size-1)] != 0 {
			i++
		}
		x.keys[i&(size-1)] = key
	}
	return x
}

func (x *plainSet) home(e packet.PlainEndpoint) int {
	return int(uint64(e) * 0xbf58476d1ce4e5b9 >> (x.shift & 63))
}

func (x *plainSet) has(e packet.PlainEndpoint) bool {
	for i := x.home(e); ; i++ {
		if k := x.keys[i&(len(x.keys)-1)]; k == e || k == 0 {
			return k != 0
		}
	}
}

// familiar are the flags of connections whose packets may take the shortcut.
const familiar = conntrack.Shadowed | conntrack.Shadowing | controlled | assured

// pass is track, rewrite and dispatch for a plain packet i. Nothing has
// happened if it returns false.
func (w *Worker) pass(b *Batch, i int) bool {
	c, p, dir := w.config, &b.plain[i], b.dir[i]
	client, other := p.Src, p.Dst
	if dir == conntrack.ToClient {
		client, other = other, client
	}
	rec := w.table.FindPlain(b.hash[i], client, other, dir)
	if rec == nil {
		return false
	}
	s := c.servers[rec.Server]
	if s == nil || s.deleted.Load() || rec.Flags&^familiar != 0 || rec.RouteGen != c.routeGen ||
		rec.VPort != s.toClient.Port || rec.RPort != s.toServer.Port {
		return false
	}
	r, id, side := &s.toServer, HopID(rec.ServerHop), packet.Destination
	if dir == conntrack.ToClient {
		r, id, side = &s.toClient, HopID(rec.ClientHop), packet.Source
		if s.links.Load()>>(b.link[i]&(MaxLinks-1))&1 == 0 || rec.Flags&(controlled|assured) == controlled {
			return false
		}
	}
	h := w.hops.at(id)
	if id == noHop || !h.usable() || int(p.Len) > h.mtu() || c.exitOf(h.link()).tags != 0 || len(w.waiting.frames) != 0 {
		return false
	}
	if p.Partial && !w.finishes(h) {
		return false
	}
	if !w.table.Pass(rec, w.tick, dir, conntrack.EventOf(p.TCPFlags)) {
		return false
	}
	w.stats[rec.Server].count(dir, uint64(p.Len))
	w.Counters.Forwarded++
	f := b.frames[i]
	frame := w.pool.Data(f)
	p.Translate(frame, r, side)
	f.Len = uint32(p.Len) + packet.EthernetLen
	if p.Partial {
		w.leavePlain(p, &f)
	}
	w.depart(h, f, frame)
	b.verdicts[i] = Transmit
	return true
}

// unfold makes an ordinary packet of a plain one that may not pass, as parse
// and aim would have.
func (w *Worker) unfold(b *Batch, i int) {
	g, p := &b.plain[i], &b.packets[i]
	g.Unfold(w.pool.Data(b.frames[i]), p)
	b.verdicts[i], b.reasons[i], b.conn[i] = Drop, Unexplained, conntrack.None
	b.kinds[i] = kindFlow
	if w.config.knowsMore() {
		w.aim(b, i)
		return
	}
	b.proto[i], b.service[i], b.client[i], b.other[i] = p.Proto, noService, g.Dst.Endpoint(), g.Src.Endpoint()
	if b.dir[i] == conntrack.ToServer {
		b.client[i], b.other[i] = b.other[i], b.client[i]
		b.service[i] = w.config.serviceOf(b.link[i], p.Proto, &b.other[i])
	}
}
