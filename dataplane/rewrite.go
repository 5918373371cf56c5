package dataplane

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
)

// rewrite translates packet i and sends it on its way. What has no connection,
// and is no service's business, is the kernel's.
func (w *Worker) rewrite(b *Batch, i int) {
	switch {
	case b.kinds[i] == kindDone:
	case b.conn[i] == conntrack.None:
		w.leave(b, i)
	case b.kinds[i] == kindError:
		w.translateError(b, i)
	default:
		w.translate(b, i)
	}
}

// leave gives packet i, which has no connection, to the kernel. With
// nat_icmp_send a server is told instead that nobody waits for its answer.
func (w *Worker) leave(b *Batch, i int) {
	p := &b.packets[i]
	from := packet.Endpoint{Addr: p.Src, Port: p.SrcPort}
	if w.config.Settings.NatIcmpSend == 0 || b.kinds[i] != kindFlow || p.TTL <= 1 || p.TCPFlags&packet.RST != 0 ||
		p.Proto == packet.SCTP && p.FirstChunk() == packet.ChunkAbort || !w.config.serves(p.Proto, &from, b.link[i], false) {
		b.finish(i, PassUp, Unexplained)
		return
	}
	next, ok := w.routes.Next(p.Dst, p.Src, b.link[i], 0)
	if ok && p.IPLen() > next.MTU && (p.V6 || p.DF) && !b.whole {
		b.finish(i, PassUp, Unexplained) // the kernel has another word for it
		return
	}
	b.dir[i] = conntrack.ToClient
	p.Forward() // as IPVS quotes it
	w.answerError(b, i, errNoServer, 0, NoConn)
}

// translate takes packet i of a connection to the other side. As in Linux, a
// packet to the server is noted before its way is known, one to the client
// only when it can go.
func (w *Worker) translate(b *Batch, i int) {
	p := &b.packets[i]
	rec := w.table.At(b.conn[i])
	s := w.config.servers[rec.Server]
	toServer := b.dir[i] == conntrack.ToServer
	if s == nil || toServer && s.deleted.Load() {
		w.forsaken(b, i)
		return
	}
	if rec.Flags&probed != 0 && w.answers(b, i, rec) {
		return
	}
	if toServer {
		w.note(b, i, rec, s)
	}
	// The kernel looks for a route before it looks at the TTL.
	id, why := w.hopOf(b, i, rec, s)
	if id == noHop {
		w.unroutable(b, i, why)
		return
	}
	if p.TTL <= 1 {
		w.answerError(b, i, errTTL, 0, TTLExpired)
		return
	}
	if h := w.hops.at(id); (b.whole || p.IPLen() > h.mtu()) && !w.fits(b, i, h) {
		return
	}
	if p.Options {
		w.recordRoute(b, i, id)
	}
	if rec.Flags&conntrack.Aliased != 0 {
		w.moveClientPort(b, i, rec)
	}
	side := packet.Destination
	if !toServer {
		w.note(b, i, rec, s)
		side = packet.Source
	}
	r, partial := w.rewriteOf(b.conn[i], rec, s, toServer), w.config.isPartial(b.link[i])
	if !partial || !w.leaveChecksum(b, i, rec, r, side, id) {
		p.Translate(r, side, partial)
	}
	if rec.Flags&helped != 0 && !w.converse(b, i, rec, s) {
		return
	}
	w.Counters.Forwarded++
	w.dispatch(b, i, id)
}

// note counts packet i and moves its connection's state and deadline.
func (w *Worker) note(b *Batch, i int, rec *conntrack.Record, s *Server) {
	p := &b.packets[i]
	w.count(b, i, rec, s)
	event := conntrack.EventOf(p.TCPFlags)
	switch p.Proto {
	case packet.TCP:
	case packet.SCTP:
		event = conntrack.EventOfChunk(p.Chunk)
	default:
		w.table.Touch(b.conn[i], w.tick)
		if b.dir[i] == conntrack.ToClient {
			w.assure(b.conn[i], rec)
		}
		return
	}
	before, after := w.table.Packet(b.conn[i], w.tick, b.dir[i], event)
	if before == after {
		return
	}
	if is := after.Active(); before.Active() != is {
		s.counts.Change(is)
	}
	if after.Established() {
		w.assure(b.conn[i], rec)
	}
}

// count counts packet i of a connection, unless its server was deleted.
func (w *Worker) count(b *Batch, i int, rec *conntrack.Record, s *Server) {
	if !s.deleted.Load() {
		w.stats[rec.Server].count(b.dir[i], uint64(b.packets[i].IPLen()))
	}
}

// moveClientPort puts the client port of the other side on packet i, whose
// connection has an alias; of an ICMP error on the packet that it quotes, which
// travelled the other way.
func (w *Worker) moveClientPort(b *Batch, i int, rec *conntrack.Record) {
	p, side, quoted := &b.packets[i], packet.Source, packet.Destination
	port := w.table.PortToServer(b.conn[i])
	if b.dir[i] == conntrack.ToClient {
		side, quoted, port = packet.Destination, packet.Source, rec.Client().Port
	}
	if b.kinds[i] == kindError {
		p.MoveQuotedPort(port, quoted)
		return
	}
	p.MovePort(port, side, w.config.isPartial(b.link[i]))
}

// rewriteOf returns what packets of a connection get in the place of one
// endpoint. Where the service or the server has port 0, each pair of ports has
// its own.
func (w *Worker) rewriteOf(at conntrack.Index, rec *conntrack.Record, s *Server, toServer bool) *packet.Rewrite {
	same := rec.VPort == s.toClient.Port && rec.RPort == s.toServer.Port
	switch {
	case same && toServer:
		return &s.toServer
	case same:
		return &s.toClient
	case rec.Flags&conntrack.Elsewhere != 0:
		w.ported = w.rewriteElsewhere(at, rec, s, toServer)
	case toServer:
		w.ported = s.toServer.WithPorts(rec.VPort, rec.RPort)
	default:
		w.ported = s.toClient.WithPorts(rec.RPort, rec.VPort)
	}
	return &w.ported
}

// rewriteElsewhere is rewriteOf for a connection with a virtual address of its
// own. Its virtual port is never 0, which its server says.
func (w *Worker) rewriteElsewhere(at conntrack.Index, rec *conntrack.Record, s *Server, toServer bool) packet.Rewrite {
	virtual := packet.Endpoint{Addr: w.table.Virtual(at), Port: rec.VPort}
	real := packet.Endpoint{Addr: s.real.Addr, Port: rec.RPort}
	x := packet.NewRewrite(virtual, real)
	if !toServer {
		x = packet.NewRewrite(real, virtual)
	}
	x.FillsUDP, x.FillsSCTP = s.toServer.FillsUDP, s.toServer.FillsSCTP
	return x
}

// hopOf returns the hop of packet i's connection in its direction, and looks
// the route up when there is none yet or routes have changed. To IPVS a packet
// to a server is one that the director makes, from no address yet; one to a
// client is made by the VIP, unless it is to go as the server sent it.
func (w *Worker) hopOf(b *Batch, i int, rec *conntrack.Record, s *Server) (HopID, Reason) {
	if rec.RouteGen != w.config.routeGen {
		rec.ServerHop, rec.ClientHop, rec.RouteGen = uint16(noHop), uint16(noHop), w.config.routeGen
	}
	known, dst, src, in := &rec.ServerHop, s.real.Addr, packet.Addr{}, Here
	if b.dir[i] == conntrack.ToClient {
		known, dst, src = &rec.ClientHop, b.client[i].Addr, w.table.Virtual(b.conn[i])
	}
	if id := HopID(*known); id != noHop {
		return id, Unexplained
	}
	if b.dir[i] == conntrack.ToServer {
		if way := &w.ways[rec.Server]; way.server == s {
			*known = uint16(way.hop)
			return way.hop, Unexplained
		}
	} else if w.config.Settings.SnatReroute == 0 {
		src, in = s.real.Addr, b.link[i]
	}
	next, ok := w.routes.Next(dst, src, in, uint32(b.hash[i]>>32))
	if !ok {
		w.refused = next.Refused
		return noHop, NoRoute
	}
	id, why := w.hopOn(&next)
	*known = uint16(id)
	if next.Fixed && b.dir[i] == conntrack.ToServer && id != noHop {
		w.ways[rec.Server] = way{s, id}
	}
	return id, why
}

// way is the hop to a server to which there is but one.
type way struct {
	server *Server // of that slot, then
	hop    HopID
}

// hopTo asks the routes for the hop.
func (w *Worker) hopTo(dst, src packet.Addr, in LinkID, hash uint32) (HopID, Reason) {
	next, ok := w.routes.Next(dst, src, in, hash)
	if !ok {
		return noHop, NoRoute
	}
	return w.hopOn(&next)
}

// hopOn finds or claims the hop of a route. That alone is a use of it: a
// connection keeps it now.
func (w *Worker) hopOn(next *Next) (HopID, Reason) {
	if id := w.hops.find(next.Link, next.MTU, next.Via); id != noHop {
		w.hops.at(id).used.Store(uint32(w.tick))
		return id, Unexplained
	}
	if !w.claims.take(w.now) {
		return noHop, NoHop
	}
	id := w.hops.claim(next.Link, next.MTU, next.Via, uint32(w.tick))
	if id == noHop {
		return noHop, NoHop
	}
	return id, Unexplained
}

// unroutable drops packet i. Its sender hears of a missing route: a client
// that the server cannot be reached, a server what the route to the client
// says.
func (w *Worker) unroutable(b *Batch, i int, why Reason) {
	toClient := b.dir[i] == conntrack.ToClient
	switch {
	case why != NoRoute, toClient && w.refused == Blackhole:
		b.finish(i, Drop, why)
	case toClient && w.refused == Prohibited:
		w.answerError(b, i, errProhibited, 0, why)
	case toClient && (w.refused == NoWay || b.packets[i].V6):
		w.answerError(b, i, errNet, 0, why)
	default:
		w.answerError(b, i, errHost, 0, why)
	}
}
