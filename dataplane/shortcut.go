package dataplane

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
)

// The shortcut is what the stages do with plain packets: those whose headers
// need no more than a glance, of connections that they change nothing about.
// It takes a fifth of the instructions and decides nothing: a packet with
// anything unusual about it, at whatever stage, unfolds and goes on as all
// others do. A test lets both ways take the same packets.

// glance is parse, aim and hash for a plain packet i. False means that it is no
// such.
func (w *Worker) glance(b *Batch, i int) bool {
	c, p, nic := w.config, &b.plain[i], b.nics[i]
	frame := w.pool.Data(b.frames[i])
	link := c.untagged[nic]
	if link == noLink || b.how[i] != asReceived || !p.Glance(frame) || p.TCPFlags&packet.SYN != 0 ||
		c.own.may(packet.AddrFrom4(p.Src)) || c.isPartial(link) && p.Unfinished(frame) {
		return false
	}
	client, port, dir := p.Src, p.SrcPort, conntrack.ToServer
	if c.index.find4(p.Proto, p.Dst, p.DstPort) == noService && (!c.anyPort || c.index.find4(p.Proto, p.Dst, 0) == noService) {
		client, port, dir = p.Dst, p.DstPort, conntrack.ToClient
	}
	at := packet.Endpoint{Addr: packet.AddrFrom4(client), Port: port}
	if w.crew != nil && w.crew.owner(at) != w.self {
		return false
	}
	b.kinds[i], b.link[i], b.dir[i], b.hash[i] = kindPlain, link, dir, w.table.Hash(p.Proto, at)
	return true
}

// familiar are the flags of connections whose packets may take the shortcut.
const familiar = conntrack.Shadowed | conntrack.Shadowing | controlled | assured

// pass is find, translate and dispatch for a plain packet i. Nothing has
// happened if it returns false.
func (w *Worker) pass(b *Batch, i int) bool {
	c, p, dir := w.config, &b.plain[i], b.dir[i]
	at := w.table.Find4(b.hash[i], p, dir)
	if at == conntrack.None {
		return false
	}
	rec := w.table.At(at)
	s := c.servers[rec.Server]
	if s == nil || rec.Flags&^familiar != 0 || rec.RouteGen != c.routeGen ||
		rec.VPort != s.toClient.Port || rec.RPort != s.toServer.Port {
		return false
	}
	id := HopID(rec.ServerHop)
	if dir == conntrack.ToClient {
		id = HopID(rec.ClientHop)
		if s.links.Load()>>(b.link[i]&(MaxLinks-1))&1 == 0 || rec.Flags&(controlled|assured) == controlled {
			return false
		}
	} else if s.deleted.Load() {
		return false
	}
	h := w.hops.at(id)
	if id == noHop || !h.usable() || int(p.Len) > h.mtu() || c.exitOf(h.link()).tags != 0 || len(w.waiting.frames) != 0 {
		return false
	}
	if !w.table.Pass(rec, w.tick, dir, conntrack.EventOf(p.TCPFlags)) {
		return false
	}
	w.Counters.Forwarded++
	f, st := b.frames[i], &w.stats[rec.Server]
	frame := w.pool.Data(f)
	f.Len = uint32(p.Len) + packet.EthernetLen
	if dir == conntrack.ToServer {
		st.InPkts++
		st.InBytes += uint64(p.Len)
		p.Translate(frame, &s.toServer, packet.Destination)
	} else {
		st.OutPkts++
		st.OutBytes += uint64(p.Len)
		p.Translate(frame, &s.toClient, packet.Source)
	}
	w.depart(h, f, frame)
	b.verdicts[i] = Transmit
	return true
}

// unfold makes an ordinary packet of a plain one that may not pass.
func (w *Worker) unfold(b *Batch, i int) {
	p := &b.packets[i]
	if fault := packet.Parse(w.pool.Data(b.frames[i]), p); fault != packet.OK {
		b.finish(i, Drop, ofFault(fault))
		return
	}
	if w.classify(b, i); b.kinds[i] == kindFlow {
		w.aimAt(b, i)
	}
}
