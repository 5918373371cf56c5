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
)

// Batch is up to BatchSize frames of one NIC on their way through the stages;
// column i of every array belongs to frame i.
type Batch struct {
	n     int
	whole bool   // frame 0 is a reassembled datagram: bytes outside the Pool
	limit int    // of a whole datagram: its largest fragment, bytes of IP packet
	id    uint32 // of a whole datagram: its identification

	frames   [BatchSize]nic.Frame
	nics     [BatchSize]uint8
	how      [BatchSize]how
	packets  [BatchSize]packet.Packet
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
	w.parse(b)
	w.track(b)
	w.schedule(b)
	w.rewrite(b)
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

// parse finds the headers and sorts the packets by kind. Fragments are held
// until their datagram is whole.
func (w *Worker) parse(b *Batch) {
	for i := range b.n {
		p := &b.packets[i]
		b.link[i] = noLink
		if fault := packet.Parse(w.pool.Data(b.frames[i]), p); fault != packet.OK {
			b.finish(i, Drop, ofFault(fault))
			continue
		}
		w.classify(b, i)
		if p.Fragment && b.kinds[i] != kindDone {
			if w.crew != nil && !b.how[i].isPiece() && w.handOver(b, i, w.crew.gatherer(p), asPiece) {
				continue
			}
			w.frags.hold(w, b, i)
		}
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

// track finds connection and direction: first all hashes, so that the table's
// lines are on their way, then the records.
func (w *Worker) track(b *Batch) {
	var warm uint64
	for i := range b.n {
		switch b.kinds[i] {
		case kindFlow:
			p := &b.packets[i]
			w.aim(b, i, p.Proto, packet.Endpoint{Addr: p.Src, Port: p.SrcPort}, packet.Endpoint{Addr: p.Dst, Port: p.DstPort})
		case kindError:
			// The quoted packet travelled the other way: its source is
			// where the error's own flow would be going.
			q := &b.packets[i].Quote
			w.aim(b, i, q.Proto, packet.Endpoint{Addr: q.Dst, Port: q.DstPort}, packet.Endpoint{Addr: q.Src, Port: q.SrcPort})
		default:
			continue
		}
		if w.crew != nil && w.handOver(b, i, w.crew.owner(b.client[i]), asReceived) {
			continue
		}
		b.hash[i] = w.table.Hash(b.proto[i], b.client[i])
	}
	// A loop of its own, so short that the processor has many lines on their
	// way at a time. What a packet without a hash touches does no harm.
	for i := range b.n {
		warm += w.table.Prefetch(b.hash[i])
	}
	w.warm = warm
	for i := range b.n {
		if b.kinds[i] == kindFlow || b.kinds[i] == kindError {
			w.find(b, i)
		}
	}
}

// aim decides which side of the flow src → dst is the client. A destination
// that is a service says: the source. Else it is taken for an answer.
func (w *Worker) aim(b *Batch, i int, proto uint8, src, dst packet.Endpoint) {
	b.proto[i] = proto
	b.service[i] = w.config.serviceOf(b.link[i], proto, &dst)
	if b.service[i] != noService || b.how[i] == toServer {
		b.dir[i], b.client[i], b.other[i] = conntrack.ToServer, src, dst
	} else {
		b.dir[i], b.client[i], b.other[i] = conntrack.ToClient, dst, src
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
	if at == conntrack.None && b.service[i] == noService && b.how[i] != toServer {
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

// schedule opens connections for packets to a service that have none.
func (w *Worker) schedule(b *Batch) {
	ended, stable := w.ended, w.config.Settings.ExpireNodestConn == 0
	for i := range b.n {
		if stable && b.conn[i] != conntrack.None && !begins(&b.packets[i]) {
			continue // nearly all
		}
		if !w.mayOpen(b, i) {
			continue
		}
		if b.conn[i] != conntrack.None {
			if !w.replaces(b, i) {
				continue
			}
		} else if b.service[i] == noService {
			continue
		} else if again := w.table.Find(b.hash[i], b.proto[i], b.client[i], b.other[i], conntrack.ToServer); again != conntrack.None {
			// An earlier packet of this batch opened it.
			b.conn[i] = again
			continue
		}
		w.anew(b, i)
	}
	if w.ended != ended {
		w.lookAgain(b)
	}
}

// lookAgain finds the packets' connections anew: some have ended for others
// since track, and their records may be somebody else's now.
func (w *Worker) lookAgain(b *Batch) {
	for i := range b.n {
		if b.kinds[i] == kindDone || b.conn[i] == conntrack.None || w.awaits(b, i, b.conn[i]) {
			continue
		}
		b.conn[i] = w.table.Find(b.hash[i], b.proto[i], b.client[i], b.other[i], b.dir[i])
		if b.conn[i] == conntrack.None && b.dir[i] == conntrack.ToClient {
			b.conn[i] = w.table.FindAlias(b.hash[i], b.proto[i], b.client[i], b.other[i])
		}
		if b.conn[i] == conntrack.None {
			b.finish(i, Drop, TableFull)
		}
	}
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
