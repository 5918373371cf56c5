package dataplane

import (
	"math/bits"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// An established TCP connection that was silent for its whole time is asked
// before it is forgotten: first the server, then the client. A TCP that knows
// the connection answers a segment outside of its window with an ACK that
// names the numbers it waits for (RFC 9293 section 3.10.7.4), one that does
// not answers with RST. If both know it, its time begins anew. Else it ends,
// and whoever still knows it is reset.
//
// No sequence numbers are kept while packets flow. The server is asked with
// any, for nothing stands between it and the director; its answer makes the
// question for the client a keepalive as the server would send it, which a
// firewall on the way lets pass.
//
// What is doomed has every packet answered with a reset, which takes its
// numbers from that packet. Of SCTP nothing else is known, so nobody is asked.

const (
	probeSets = 1024
	probeWays = 4

	probeTries    = 3 // of different kinds, a second apart
	probePatience = probeTries * conntrack.Second
	probeGrace    = 2*probePatience + conntrack.Second // both ends are silent
	probeLater    = 10 * conntrack.Second              // no room: when to come again
)

// probed marks a connection that a probe is about.
const probed conntrack.Flags = 1 << 7

// word is what the end that was asked has said.
type word uint8

const (
	silence word = iota
	lives
	refuses
)

// probe is one connection being asked.
type probe struct {
	conn   conntrack.Name
	asks   conntrack.Direction // where its questions go; 0: there is no probe here
	said   word                // by that end
	doomed bool                // the connection ends, whatever is said
	noted  bool
	sent   uint8
	told   [3]bool // by direction: that end knows that it is over
	next   conntrack.Tick
	until  conntrack.Tick
	server packet.Segment // its answer, or what it must be by the client's; Flags 0 = none
}

// probes are those of one worker, placed by the index of their connection.
type probes struct {
	places [probeSets * probeWays]probe
	noted  []uint16 // places where something was said in this round
	count  int
	swept  conntrack.Tick
	rate   bucket // of new ones
}

func newProbes() *probes {
	return &probes{noted: make([]uint16, 0, probeSets*probeWays), rate: bucket{rate: 10_000, burst: probeSets * probeWays}}
}

// home returns the first place for connection i.
func (p *probes) home(i conntrack.Index) int { return int(uint32(i)*0x9e3779b1>>22) * probeWays }

// of returns the place of the probe about a connection, -1 if there is none.
func (p *probes) of(name conntrack.Name) int {
	home := p.home(name.Index)
	for n := home; n < home+probeWays; n++ {
		if x := &p.places[n]; x.asks != 0 && x.conn == name {
			return n
		}
	}
	return -1
}

// room returns a free place, -1 if there is none.
func (p *probes) room(i conntrack.Index) int {
	home := p.home(i)
	for n := home; n < home+probeWays; n++ {
		if p.places[n].asks == 0 {
			return n
		}
	}
	return -1
}

func (p *probes) end(x *probe) {
	x.asks = 0
	p.count--
}

// note has judge look at a place at the end of the round.
func (p *probes) note(n int) {
	if x := &p.places[n]; !x.noted {
		x.noted = true
		p.noted = append(p.noted, uint16(n))
	}
}

// whenIdle tells how long connection i lives on although its time is over: until
// its ends were asked. While too many are asked it waits for its turn, unless
// the table is short of room.
func (w *Worker) whenIdle(i conntrack.Index, rec *conntrack.Record) conntrack.Tick {
	how := w.config.Deviations
	s := w.config.servers[rec.Server]
	switch {
	case !how.Has(service.IdleProbes|service.IdleResets) || s == nil || s.deleted.Load():
		return 0
	case w.probe(i, rec, how.Has(service.IdleResets)):
		return probeGrace
	case w.defence.short:
		return 0
	}
	return probeLater + conntrack.Tick(i)%64
}

// probe begins to ask about connection i, and reports whether there is room
// for that.
func (w *Worker) probe(i conntrack.Index, rec *conntrack.Record, doomed bool) bool {
	p, name := w.probes, w.table.Name(i)
	n := p.of(name)
	if n < 0 {
		if n = p.room(i); n < 0 || !p.rate.take(w.now) {
			return false
		}
		p.count++
		p.places[n] = probe{
			conn: name, asks: conntrack.ToServer, next: w.tick, until: w.tick + probePatience, noted: p.places[n].noted,
		}
		rec.Flags |= probed
		p.note(n)
	}
	p.places[n].doomed = p.places[n].doomed || doomed
	return true
}

// answers reports whether packet i was for the probe of its connection, and
// not for the other end. What the other end should see shows that the
// connection is not idle.
func (w *Worker) answers(b *Batch, i int, rec *conntrack.Record) bool {
	n := w.probes.of(w.table.Name(b.conn[i]))
	if n < 0 {
		rec.Flags &^= probed
		return false
	}
	x, from := &w.probes.places[n], conntrack.ToServer+conntrack.ToClient-b.dir[i]
	s, empty := b.packets[i].Segment()
	refused := s.Flags&packet.RST != 0
	if !x.doomed && (from != x.asks || !empty || s.Flags&(packet.SYN|packet.FIN) != 0 || refused && x.forges(&s)) {
		w.probes.end(x)
		rec.Flags &^= probed
		return false
	}
	if empty && !refused && x.server.Flags == 0 {
		if x.server = s; from == conntrack.ToClient {
			x.server.Seq, x.server.Ack = s.Ack-w.aheadOf(b.conn[i], rec), s.Seq
		}
	}
	if x.told[from] = x.doomed || refused; x.doomed && !refused {
		w.answerReset(b, i, ProbeAnswer)
	} else {
		b.finish(i, Drop, ProbeAnswer)
	}
	if from == x.asks {
		if x.said = lives; refused {
			x.said = refuses
		}
	}
	w.probes.note(n)
	return true
}

// forges reports whether a refusal is none: it has the number that was
// acknowledged in the question, which only who saw that knows. From the
// server's links no stranger sends.
func (x *probe) forges(s *packet.Segment) bool {
	return x.asks == conntrack.ToClient && s.Seq != x.server.Ack
}

// goOnProbing looks at what was said, and every tick at who is silent.
func (w *Worker) goOnProbing() {
	p := w.probes
	for _, n := range p.noted {
		x := &p.places[n]
		if x.noted = false; x.asks != 0 {
			w.judge(x)
		}
	}
	p.noted = p.noted[:0]
	if p.count == 0 || p.swept == w.tick {
		return
	}
	p.swept = w.tick
	for n := range p.places {
		if x := &p.places[n]; x.asks != 0 && int32(w.tick-x.next) >= 0 {
			w.judge(x)
		}
	}
}

// judge takes the next step of a probe.
func (w *Worker) judge(x *probe) {
	at := w.table.Named(x.conn)
	if at == conntrack.None {
		w.probes.end(x)
		return
	}
	rec := w.table.At(at)
	over := x.told[conntrack.ToServer] && x.told[conntrack.ToClient]
	switch {
	case !over && x.said == silence && int32(w.tick-x.until) < 0:
		w.question(x)
	case !over && x.asks == conntrack.ToServer:
		x.doomed = x.doomed || x.said != lives
		x.asks, x.said, x.sent = conntrack.ToClient, silence, 0
		x.next, x.until = w.tick, w.tick+probePatience
		w.question(x)
	case !over && x.said == lives && !x.doomed:
		w.probes.end(x)
		rec.Flags &^= probed
		w.table.Touch(at, w.tick)
		w.Counters.Kept++
	default:
		w.conclude(x)
		w.probes.end(x)
		w.end(at)
		w.Counters.Expired++
	}
}

// question asks the end whose turn it is, if it is time.
func (w *Worker) question(x *probe) {
	if int32(w.tick-x.next) < 0 {
		return
	}
	x.next = w.tick + 1
	if w.originate(x.conn.Index, x.asks, x.segment()) {
		x.sent++
		x.next = w.tick + conntrack.Second
		w.Counters.Probes++
	}
}

// segment returns the next question: a keepalive if the numbers are known.
// Else three that differ, so that one of them is outside of any window, has no
// timestamps, and has such as are not old, for there are TCPs that want them
// and others that do not (RFC 7323 section 3.2).
func (x *probe) segment() *packet.Segment {
	s := x.server
	switch {
	case x.asks == conntrack.ToClient && s.Flags != 0:
		s.Seq--
	case x.sent == 0:
		s = packet.Segment{Window: 0xffff}
	case x.sent == 1:
		s = packet.Segment{Window: 0xffff, Seq: 1 << 31, Stamped: true}
	default:
		s = packet.Segment{Window: 0xffff, Seq: 1 << 30, Stamped: true, Stamp: 1 << 31}
	}
	s.Flags = packet.ACK
	return &s
}

// conclude resets the ends that have not been told, as far as their numbers
// are known.
func (w *Worker) conclude(x *probe) {
	if x.server.Flags == 0 {
		return
	}
	for _, to := range []conntrack.Direction{conntrack.ToServer, conntrack.ToClient} {
		s := packet.Segment{Seq: x.server.Seq, Ack: x.server.Ack, Flags: packet.RST | packet.ACK}
		if to == conntrack.ToServer {
			s.Seq, s.Ack = s.Ack, s.Seq
		}
		if !x.told[to] && w.originate(x.conn.Index, to, &s) {
			w.Counters.Resets++
		}
	}
}

// originate sends a segment of connection at to one end, as if it came from the
// other.
func (w *Worker) originate(at conntrack.Index, to conntrack.Direction, s *packet.Segment) bool {
	rec := w.table.At(at)
	srv := w.config.servers[rec.Server]
	if srv == nil || rec.Proto() != packet.TCP {
		return false
	}
	id := w.hopTowards(at, srv, to)
	if id == noHop {
		return false
	}
	h := w.hops.at(id)
	if !h.usable() {
		w.hops.again(id)
		return false
	}
	src, dst := packet.Endpoint{Addr: w.table.Virtual(at), Port: rec.VPort}, rec.Client()
	if to == conntrack.ToServer {
		src, dst = dst, packet.Endpoint{Addr: srv.real.Addr, Port: rec.RPort}
		src.Port = w.table.PortToServer(at)
	}
	if to == conntrack.ToClient {
		s.Seq += w.aheadOf(at, rec)
	}
	chunk, ok := w.alloc()
	if !ok {
		return false
	}
	n := packet.BuildSegment(w.scratch[:], src, dst, s)
	if n == 0 || !w.reply(chunk, n, h.link(), packet.MAC(h.mac.Load()).Bytes()) {
		w.recycle(chunk)
		return false
	}
	h.used.Store(uint32(w.tick))
	return true
}

// hopTowards is hopOf without a packet. Packets of the server come by one of
// its links.
func (w *Worker) hopTowards(at conntrack.Index, s *Server, to conntrack.Direction) HopID {
	rec := w.table.At(at)
	if rec.RouteGen != w.config.routeGen {
		rec.ServerHop, rec.ClientHop, rec.RouteGen = uint16(noHop), uint16(noHop), w.config.routeGen
	}
	client := rec.Client()
	hash := uint32(w.table.Hash(rec.Proto(), client) >> 32)
	if links := s.links.Load(); HopID(rec.ClientHop) == noHop && links != 0 {
		src, in := w.table.Virtual(at), Here
		if w.config.Settings.SnatReroute == 0 {
			src, in = s.real.Addr, LinkID(bits.TrailingZeros64(links))
		}
		id, _ := w.hopTo(client.Addr, src, in, hash)
		rec.ClientHop = uint16(id)
	}
	if to == conntrack.ToClient {
		return HopID(rec.ClientHop)
	}
	if HopID(rec.ServerHop) == noHop {
		id, _ := w.hopTo(s.real.Addr, packet.Addr{}, Here, hash)
		rec.ServerHop = uint16(id)
	}
	return HopID(rec.ServerHop)
}
