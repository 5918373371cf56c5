package dataplane

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
)

// BatchSize is how many frames are treated together. Staging 64 of them hides
// most of a cold table's latency: 70 against 277 ns a packet at 3M
// connections.
const BatchSize = 64

// kind says which stages a packet still needs.
type kind uint8

const (
	kindDone  kind = iota // has its verdict
	kindFlow              // a TCP, UDP or SCTP packet
	kindError             // an ICMP error about one
	kindOther             // anything else: the kernel's
	kindPlain             // a TCP or UDP packet that takes the shortcut
)

// Batch is up to BatchSize frames of one NIC on their way through the stages;
// column i of every array belongs to frame i.
type Batch struct {
	n     int
	rest  int    // how many did not take the shortcut
	whole bool   // frame 0 is a reassembled datagram: bytes outside the Pool
	limit int    // of a whole datagram: its largest fragment, bytes of IP packet
	id    uint32 // of a whole datagram: its identification

	frames   [BatchSize]nic.Frame
	nics     [BatchSize]uint8
	how      [BatchSize]how
	plain    [BatchSize]packet.Plain  // valid for kindPlain
	packets  [BatchSize]packet.Packet // valid for all others
	verdicts [BatchSize]Verdict
	reasons  [BatchSize]Reason
	kinds    [BatchSize]kind
	link     [BatchSize]LinkID
	service  [BatchSize]int32
	dir      [BatchSize]conntrack.Direction
	conn     [BatchSize]conntrack.Index
	hash     [BatchSize]uint64
	proto    [BatchSize]uint8
	client   [BatchSize]packet.Endpoint
	other    [BatchSize]packet.Endpoint
}

// Process decides on every frame of b. What is to be sent waits in the
// worker's egress, what is held among the held; the rest is for settle.
func (w *Worker) Process(b *Batch) {
	w.pool.Prefetch(b.frames[:b.n])
	w.parse(b)
	w.table.Prefetch(b.hash[:b.n]) // of a packet without a hash any, which does no harm
	b.rest = 0
	for i := range b.n {
		if b.kinds[i] == kindPlain && w.pass(b, i) {
			continue // nearly all
		}
		b.rest++
		w.track(b, i)
		w.schedule(b, i)
		w.rewrite(b, i)
	}
	if len(w.spent) > 0 {
		w.endSpent()
	}
}

// received makes b the first n frames, received on a NIC.
func (b *Batch) received(n, nic int) {
	b.n = n
	for i := range n {
		b.nics[i], b.how[i] = uint8(nic), asReceived
	}
}

// finish gives packet i its verdict.
func (b *Batch) finish(i int, v Verdict, why Reason) {
	b.verdicts[i], b.reasons[i], b.kinds[i] = v, why, kindDone
}

// reject gives packet i, which cannot be read, its verdict. Where Linux would
// say so, with a parameter problem, it may.
func (b *Batch) reject(i int, fault packet.Fault) {
	if fault == packet.BadOption || fault == packet.BadExtension || fault == packet.BadFragment && b.packets[i].V6 {
		b.finish(i, PassUp, Unexplained)
		return
	}
	b.finish(i, Drop, ofFault(fault))
}

// parse finds the headers and sorts the packets by kind. Fragments are held
// until their datagram is whole.
func (w *Worker) parse(b *Batch) {
	for i := range b.n {
		if w.config.plain && w.glance(b, i) {
			continue
		}
		p := &b.packets[i]
		b.link[i] = noLink
		if fault := packet.Parse(w.pool.Data(b.frames[i]), p); fault != packet.OK {
			b.reject(i, fault)
			continue
		}
		w.classify(b, i)
		if p.Fragment && b.kinds[i] != kindDone {
			if w.crew != nil && !b.how[i].isPiece() && w.handOver(b, i, w.crew.gatherer(p), asPiece) {
				continue
			}
			w.frags.hold(w, b, i)
		}
		w.aim(b, i)
	}
}

// classify finds link and kind of packet i.
func (w *Worker) classify(b *Batch, i int) {
	p := &b.packets[i]
	b.verdicts[i], b.reasons[i], b.conn[i] = Drop, Unexplained, conntrack.None
	b.link[i] = w.config.linkOf(b.nics[i], p)
	switch {
	case b.link[i] == noLink:
		b.finish(i, Drop, NoLink)
	case w.config.own.has(p.Src):
		b.finish(i, Drop, Martian)
	case p.HasPorts:
		b.kinds[i] = kindFlow
	case p.IsError && p.Quote.OK && p.Quote.HasPorts && w.translates(p):
		b.kinds[i] = kindError
	default:
		b.kinds[i] = kindOther
	}
}

// aim decides whose table line packet i needs, if it may have a connection. A
// destination that is a service says that the source is the client. Else the
// packet is taken for an answer.
func (w *Worker) aim(b *Batch, i int) {
	if b.kinds[i] != kindFlow && b.kinds[i] != kindError {
		return
	}
	p := &b.packets[i]
	proto, src, dst := p.Proto, packet.Endpoint{Addr: p.Src, Port: p.SrcPort}, packet.Endpoint{Addr: p.Dst, Port: p.DstPort}
	if b.kinds[i] == kindError {
		// The quoted packet travelled the other way: its source is where the
		// error's own flow would be going.
		q := &p.Quote
		proto, src, dst = q.Proto, packet.Endpoint{Addr: q.Dst, Port: q.DstPort}, packet.Endpoint{Addr: q.Src, Port: q.SrcPort}
	}
	b.proto[i] = proto
	b.service[i] = w.config.serviceOf(b.link[i], proto, &dst)
	if b.service[i] != noService || b.how[i] == toServer {
		b.dir[i], b.client[i], b.other[i] = conntrack.ToServer, src, dst
	} else {
		b.dir[i], b.client[i], b.other[i] = conntrack.ToClient, dst, src
	}
	as := asReceived
	if w.config.marks != nil && b.dir[i] == conntrack.ToServer {
		as = w.turn(b, i)
	}
	if b.kinds[i] == kindDone || w.crew != nil && w.handOver(b, i, w.crew.owner(b.client[i]), as) {
		return
	}
	b.hash[i] = w.table.Hash(proto, b.client[i])
}

// track finds the connection of packet i.
func (w *Worker) track(b *Batch, i int) {
	if b.kinds[i] == kindPlain {
		w.unfold(b, i)
	}
	if b.kinds[i] == kindFlow || b.kinds[i] == kindError {
		w.find(b, i)
	}
}

// find looks packet i up. What is no answer may still belong to a connection
// whose service is gone.
func (w *Worker) find(b *Batch, i int) {
	at := w.table.Find(b.hash[i], b.proto[i], b.client[i], b.other[i], b.dir[i])
	if b.dir[i] == conntrack.ToClient {
		if at == conntrack.None {
			at = w.table.FindAlias(b.hash[i], b.proto[i], b.client[i], b.other[i])
		}
		if at != conntrack.None && !w.fromServer(b, i, at) {
			b.kinds[i] = kindOther
			return
		}
	}
	if at == conntrack.None && b.service[i] == noService && b.how[i] != toServer && !w.callsBack(b, i) {
		client, other := b.other[i], b.client[i]
		if w.crew != nil && w.handOver(b, i, w.crew.owner(client), toServer) {
			return
		}
		hash := w.table.Hash(b.proto[i], client)
		if at = w.table.Find(hash, b.proto[i], client, other, conntrack.ToServer); at != conntrack.None {
			b.dir[i], b.client[i], b.other[i], b.hash[i] = conntrack.ToServer, client, other, hash
		}
	}
	b.conn[i] = at
}

// fromServer reports whether packet i came in over a link that the server of
// connection at answers on, and goes to the client. Anything else has a forged
// source, or is an error about the connection for somebody else.
func (w *Worker) fromServer(b *Batch, i int, at conntrack.Index) bool {
	s := w.config.servers[w.table.At(at).Server]
	return s != nil && s.links.Load()>>b.link[i]&1 != 0 && b.packets[i].Dst == b.client[i].Addr
}

// schedule opens a connection for a packet i to a service that has none.
func (w *Worker) schedule(b *Batch, i int) {
	known := b.conn[i] != conntrack.None
	if b.kinds[i] == kindDone || known && w.config.Settings.ExpireNodestConn == 0 && !begins(&b.packets[i]) {
		return
	}
	if !w.mayOpen(b, i) {
		w.callBack(b, i)
		return
	}
	if known && !w.replaces(b, i) || !known && b.service[i] == noService {
		return
	}
	w.anew(b, i)
}

// anew opens a connection for packet i if there is a service. An old one still
// counts while the server is chosen, as with IPVS, and ends then.
func (w *Worker) anew(b *Batch, i int) {
	var old conntrack.Name
	at := b.conn[i]
	if at != conntrack.None {
		old, b.conn[i] = w.table.Name(at), conntrack.None
	}
	if b.service[i] != noService {
		w.begin(b, i)
	}
	if at != conntrack.None && w.table.Named(old) == at {
		w.end(at)
	}
}
