package dataplane

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// errorKind is an ICMP error that the director sends.
type errorKind uint8

const (
	errNoServer   errorKind = iota // port unreachable
	errHost                        // host or address unreachable
	errNet                         // net unreachable, no route
	errProhibited                  // administratively
	errTTL
	errLate // fragments that did not come
	errTooBig
)

// errorTypes holds type and code, for IPv4 and IPv6.
var errorTypes = [...][2][2]uint8{
	errNoServer:   {{packet.Unreachable, 3}, {packet.Unreachable6, 4}},
	errHost:       {{packet.Unreachable, 1}, {packet.Unreachable6, 3}},
	errNet:        {{packet.Unreachable, 0}, {packet.Unreachable6, 0}},
	errProhibited: {{packet.Unreachable, 13}, {packet.Unreachable6, 1}},
	errTTL:        {{packet.TimeExceeded, 0}, {packet.TimeExceeded6, 0}},
	errLate:       {{packet.TimeExceeded, 1}, {packet.TimeExceeded6, 1}},
	errTooBig:     {{packet.Unreachable, 4}, {packet.TooBig6, 0}},
}

func (e errorKind) of(v6 bool) [2]uint8 {
	if v6 {
		return errorTypes[e][1]
	}
	return errorTypes[e][0]
}

// answerReset answers packet i as a host does that has no such connection.
// The packet itself is dropped for the reason why; the answer goes out in its
// frame.
func (w *Worker) answerReset(b *Batch, i int, why Reason) {
	n := packet.BuildReset(w.scratch[:], &b.packets[i])
	if n > 0 && w.answer(b, i, n, why) {
		w.Counters.Resets++
		return
	}
	b.finish(i, Drop, why)
}

// answerError drops packet i for the reason why and tells its sender, within
// the limits that the kernel sets itself. Clients hear it from the VIP,
// servers from the director's address on their link.
func (w *Worker) answerError(b *Batch, i int, e errorKind, mtu int, why Reason) {
	p := &b.packets[i]
	src := p.Dst
	if b.dir[i] == conntrack.ToClient {
		src = w.config.Links[b.link[i]].source(p.V6)
	}
	if !packet.MayError(p) || p.IsError || src == (packet.Addr{}) {
		b.finish(i, Drop, why)
		return
	}
	// Path MTU discovery is never limited (net/ipv4/icmp.c).
	if e != errTooBig && !w.limiter.allow(w.now, p.Src) {
		b.finish(i, Drop, ErrorLimited)
		return
	}
	w.noteRoute(b, i, src, e == errHost && b.dir[i] == conntrack.ToServer)
	t := e.of(p.V6)
	n := packet.BuildError(w.scratch[:], p, src, t[0], t[1], uint32(mtu))
	if n > 0 && w.answer(b, i, n, why) {
		w.Counters.Errors++
		return
	}
	b.finish(i, Drop, why)
}

// noteRoute writes own into the record route option of packet i, as Linux has
// done by the time it quotes a packet: twice when it has no route for it, and
// with a checksum only where it made the header itself.
func (w *Worker) noteRoute(b *Batch, i int, own packet.Addr, twice bool) {
	p := &b.packets[i]
	if b.whole {
		packet.FillRecordRoute(p, own)
	} else {
		packet.NoteRoute(p, own)
	}
	if twice {
		packet.NoteRoute(p, own)
	}
}

// answer sends the n bytes of scratch back to where packet i came from, in its
// frame. A reassembled datagram has none to give: its answer takes a free one.
func (w *Worker) answer(b *Batch, i, n int, why Reason) bool {
	back := MAC(b.packets[i].Data[6:12])
	if b.whole {
		chunk, ok := w.alloc()
		if !ok {
			return false
		}
		b.frames[i].Addr = chunk
	}
	if !w.reply(b.frames[i].Addr, n, b.link[i], back) {
		if b.whole {
			w.recycle(b.frames[i].Addr)
		}
		return false
	}
	if !b.whole {
		w.Counters.Dropped[why]++
	}
	b.finish(i, Transmit, why)
	return true
}

// reply sends the n bytes of scratch over link to the MAC to, in the chunk
// that addr lies in.
func (w *Worker) reply(addr uint64, n int, link LinkID, to MAC) bool {
	chunk := addr &^ uint64(w.pool.Chunk-1)
	f := nic.Frame{Addr: chunk + nic.Headroom, Len: uint32(n)}
	if f.Addr+uint64(n) > chunk+uint64(w.pool.Chunk) {
		return false
	}
	copy(w.pool.Data(f), w.scratch[:n])
	l := &w.config.Links[link]
	if packet.Parse(w.pool.Data(f), &w.built) != packet.OK {
		return false
	}
	at, ok := w.built.Retag(w.pool.Bytes[chunk:chunk+uint64(w.pool.Chunk)], nic.Headroom, l.Tags, l.NTags)
	if !ok {
		return false
	}
	packet.SetMACs(w.built.Data, packet.MACFrom(to), packet.MACFrom(l.MAC))
	w.Counters.Originated++
	w.send(l.NIC, nic.Frame{Addr: chunk + uint64(at), Len: uint32(len(w.built.Data))})
	return true
}

// translates reports whether errors of p's type are carried to the other side.
func (w *Worker) translates(p *packet.Packet) bool {
	return p.V6 || p.ICMPType != packet.ParamProblem || w.config.Deviations.Has(service.ParameterProblems)
}

// translateError carries an ICMP error about a packet of a connection to the
// other side. It moves no state and no deadline. As with IPVS, one that is
// damaged itself goes nowhere.
func (w *Worker) translateError(b *Batch, i int) {
	p := &b.packets[i]
	rec := w.table.At(b.conn[i])
	s := w.config.servers[rec.Server]
	toServer := b.dir[i] == conntrack.ToServer
	if s == nil {
		b.finish(i, Drop, ServerGone)
		return
	}
	if !p.IsIntact() {
		b.finish(i, Drop, BadChecksum)
		return
	}
	if toServer {
		w.count(b, i, rec, s)
	}
	if p.TTL <= 1 {
		b.finish(i, Drop, TTLExpired)
		return
	}
	id, why := w.hopOf(b, i, rec, s)
	if id == noHop {
		b.finish(i, Drop, why)
		return
	}
	size := p.IPLen()
	if b.whole {
		size = b.limit
	}
	if size > w.hops.at(id).mtu() && (p.V6 || p.DF && !toServer) {
		b.finish(i, Drop, TooBig) // no error about an error; IPVS cuts those for servers
		return
	}
	if p.Options {
		w.recordRoute(b, i, id)
	}
	if rec.Flags&conntrack.Aliased != 0 {
		w.moveClientPort(b, i, rec)
	}
	if toServer {
		p.TranslateQuote(packet.Endpoint{Addr: s.real.Addr, Port: rec.RPort}, packet.Destination)
	} else {
		w.count(b, i, rec, s)
		p.TranslateQuote(packet.Endpoint{Addr: w.table.Virtual(b.conn[i]), Port: rec.VPort}, packet.Source)
	}
	w.Counters.Forwarded++
	w.dispatch(b, i, id)
}
