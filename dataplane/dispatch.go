package dataplane

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
)

// fits decides what becomes of packet i, larger than the MTU towards hop h, or
// a reassembled datagram, whose largest fragment counts. What may not be
// fragmented is answered with the MTU; IPv6 never is fragmented here unless it
// came so.
func (w *Worker) fits(b *Batch, i int, h *hop) bool {
	p := &b.packets[i]
	mtu, size := h.mtu(), p.IPLen()
	if b.whole {
		size = b.limit
	}
	if size <= mtu || !p.V6 && !p.DF {
		return true
	}
	if b.dir[i] == conntrack.ToServer {
		// IPVS has taken one from the TTL by now, and quotes it so.
		p.Forward()
	}
	w.answerError(b, i, errTooBig, mtu, TooBig)
	return false
}

// recordRoute fills the option that asks for the router's address with the
// one that clients know: the VIP. A packet that is only routed gets that of the
// link by which it leaves.
func (w *Worker) recordRoute(b *Batch, i int, id HopID) {
	own := b.packets[i].Dst
	if b.dir[i] == conntrack.ToClient {
		own = w.table.Virtual(b.conn[i])
		if w.config.Settings.SnatReroute == 0 {
			own = w.config.Links[w.hops.at(id).link()].Addr4
		}
	}
	packet.FillRecordRoute(&b.packets[i], own)
}

// dispatch sends packet i, translated, to hop id, or holds it until the hop's
// MAC is known.
func (w *Worker) dispatch(b *Batch, i int, id HopID) {
	p, h := &b.packets[i], w.hops.at(id)
	if b.whole || p.IPLen() > h.mtu() {
		w.finish(b, i)
		w.recut(b, i, id)
		return
	}
	if p.Tags|w.config.exitOf(h.link()).tags != 0 || !h.usable() || len(w.waiting.frames) > 0 {
		w.finish(b, i)
		v, why := w.forward(b, i, b.frames[i], p, id)
		b.finish(i, v, why)
		return
	}
	w.depart(h, nic.Frame{Addr: b.frames[i].Addr, Len: uint32(len(p.Data)), Options: b.frames[i].Options}, p.Data)
	b.verdicts[i] = Transmit
}

// origin is where a translated frame came from, for an error about it.
type origin struct {
	mac  MAC
	link LinkID
	dir  conntrack.Direction
	peer uint16          // port of the client there
	was  packet.Endpoint // that was replaced
}

func (w *Worker) origin(b *Batch, i int) origin {
	rec := w.table.At(b.conn[i])
	was, peer := packet.Endpoint{Addr: w.table.Virtual(b.conn[i]), Port: rec.VPort}, rec.Client().Port
	if b.dir[i] == conntrack.ToClient {
		was, peer = packet.Endpoint{Addr: w.config.pairs[rec.Server].Real, Port: rec.RPort}, w.table.PortToServer(b.conn[i])
	}
	return origin{MAC(b.packets[i].Data[6:12]), b.link[i], b.dir[i], peer, was}
}

// forward is dispatch for frame f of p, packet i or a piece of it, whatever
// tags or hop it has.
func (w *Worker) forward(b *Batch, i int, f nic.Frame, p *packet.Packet, id HopID) (Verdict, Reason) {
	// What waits for the hop goes first, or a flow would be reordered.
	if w.waiting.len() > 0 {
		w.waiting.look(w)
	}
	h := w.hops.at(id)
	usable := h.usable()
	var from origin
	if !usable {
		from = w.origin(b, i) // retag overwrites it
	}
	f, ok := w.retag(f, p, h)
	if !ok {
		return Drop, NoFrame
	}
	if usable {
		w.depart(h, f, p.Data)
		return Transmit, Unexplained
	}
	if why := w.waiting.add(w, f, id, from); why != Unexplained {
		return Drop, why
	}
	return Hold, Unexplained
}

// retag writes the VLAN tags of a hop. The frame may begin elsewhere in its
// chunk afterwards.
func (w *Worker) retag(f nic.Frame, p *packet.Packet, h *hop) (nic.Frame, bool) {
	l := &w.config.Links[h.link()]
	if p.Tags|l.NTags != 0 {
		chunk := f.Addr &^ uint64(w.pool.Chunk-1)
		at, ok := p.Retag(w.pool.Bytes[chunk:chunk+uint64(w.pool.Chunk)], int(f.Addr-chunk), l.Tags, l.NTags)
		if !ok {
			return f, false
		}
		f.Addr = chunk + uint64(at)
	}
	f.Len = uint32(len(p.Data))
	return f, true
}

// depart writes the MAC addresses of a finished frame, whose bytes are data,
// and queues it on the NIC of its hop.
func (w *Worker) depart(h *hop, f nic.Frame, data []byte) {
	if used := uint32(w.tick); h.used.Load() != used {
		h.used.Store(used)
	}
	exit := w.config.exitOf(h.link())
	packet.SetMACs(data, packet.MAC(h.mac.Load()), exit.mac)
	e := &w.nics[exit.nic]
	if uint(e.n) >= outSize {
		w.flush(int(exit.nic))
	}
	e.add(f)
}

// nextID returns an identification for the pieces of an IPv6 datagram. None
// comes back before all have been, and the next one is not plain to see
// (RFC 7739).
func (w *Worker) nextID() uint32 {
	w.ipID++
	x := w.ipID * 0x9e3779b1
	x = (x ^ x>>16 ^ uint32(w.frags.seed>>32)) * 0x85ebca6b
	return x ^ x>>15
}

// recut sends packet i in pieces: a reassembled datagram, or one larger than
// the MTU. A datagram leaves in pieces no larger than the largest it came in,
// one of IPv6 in those that it came in, as Linux has it.
func (w *Worker) recut(b *Batch, i int, id HopID) {
	p := &b.packets[i]
	mtu := w.hops.at(id).mtu()
	ip := p.FragID
	if b.whole {
		mtu = min(mtu, b.limit)
		if ip = b.id; p.V6 {
			ip = w.nextID()
		}
	}
	cut := packet.NewFragmenter(p, nil, mtu, ip)
	if b.whole && p.V6 {
		cut.KeepCuts(w.frags.cuts)
	}
	if cut.Pieces() == 0 {
		b.finish(i, Drop, TooBig)
		return
	}
	for cut.Pieces() > 0 {
		chunk, ok := w.alloc()
		if !ok {
			b.finish(i, Drop, NoFrame)
			return
		}
		w.Counters.Originated++
		at := chunk + nic.Headroom
		n := cut.Next(w.pool.Bytes[at : chunk+uint64(w.pool.Chunk)])
		f := nic.Frame{Addr: at, Len: uint32(n)}
		if n == 0 || packet.Parse(w.pool.Data(f), &w.piece) != packet.OK {
			w.drop(at, TooBig)
			b.finish(i, Drop, TooBig)
			return
		}
		if v, why := w.forward(b, i, f, &w.piece, id); v == Drop {
			w.drop(at, why)
		}
	}
	b.finish(i, Drop, Recut)
}
