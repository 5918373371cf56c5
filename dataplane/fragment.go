package dataplane

import (
	"encoding/binary"
	"slices"

	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
)

const (
	fragmentPatience = 5 * Second
	maxPieces        = 64
	datagramSets     = 32
	datagramWays     = 8
	maxDatagram      = 65535 + 128 // with Ethernet header and tags
)

// piece is one fragment of a datagram, held in its frame.
type piece struct {
	frame    nic.Frame
	off, len uint16 // of its payload in the datagram
	at       uint16 // of its payload in the frame
	ip       uint16 // length of its IP packet
}

// datagram is what has arrived of one.
type datagram struct {
	src, dst packet.Addr
	id       uint32
	proto    uint8
	used     bool
	toServer bool // it is no answer, another worker says
	link     LinkID
	nic      uint8
	since    Time
	n        int
	total    int // payload bytes, 0 until the last fragment is here
	have     int
	pieces   [maxPieces]piece // by offset
}

// fragments holds the fragments of incomplete datagrams, of both directions
// and in any order. Nothing of a datagram leaves before all of it is here.
type fragments struct {
	held, limit int
	oldest      Time // no datagram is older
	seed        uint64
	sets        [datagramSets][datagramWays]datagram
	buffer      [maxDatagram]byte
}

func (q *fragments) init(l Limits, total int, seed uint64) {
	if q.limit = l.Fragments; q.limit == 0 {
		q.limit = max(total/16, 8)
	}
	q.seed = seed
}

func (q *fragments) len() int { return q.held }

// hold keeps fragment i of b, and processes its datagram if that is whole now.
func (q *fragments) hold(w *Worker, b *Batch, i int) {
	p := &b.packets[i]
	at := int(p.L4)
	if p.V6 {
		at = int(p.FragHeader) + 8
	}
	n := len(p.Data) - at
	x := piece{b.frames[i], p.FragOffset, uint16(n), uint16(at), uint16(p.IPLen())}
	if q.held >= q.limit {
		q.evict(w)
	}
	d := q.find(w, b, p, i)
	d.toServer = d.toServer || b.how[i] == asPieceToServer
	b.finish(i, Hold, Unexplained)
	if why := d.add(x, p.MoreFragments); why != Unexplained {
		w.Counters.Dropped[why]++
		w.recycle(x.frame.Addr)
		if why == BadFragment {
			q.drop(w, d, BadFragment)
		}
		return
	}
	q.held++
	if d.total > 0 && d.have == d.total {
		q.finish(w, d)
	}
}

// find returns the datagram of p, a fresh one if it is the first fragment
// seen.
func (q *fragments) find(w *Worker, b *Batch, p *packet.Packet, i int) *datagram {
	proto := p.Proto
	if p.V6 {
		proto = 0 // RFC 8200 section 4.5: addresses and identification alone
	}
	h := (p.Src.Lo ^ p.Src.Hi ^ p.Dst.Lo<<7 ^ uint64(p.FragID)<<24 ^ q.seed) * 0xbf58476d1ce4e5b9
	set := &q.sets[h>>59]
	at := &set[0]
	for k := range set {
		d := &set[k]
		if d.used && d.src == p.Src && d.dst == p.Dst && d.id == p.FragID && d.proto == proto && d.link == b.link[i] {
			return d
		}
		if !d.used || at.used && d.since < at.since {
			at = d
		}
	}
	if at.used {
		q.drop(w, at, HoldFull)
	}
	*at = datagram{src: p.Src, dst: p.Dst, id: p.FragID, proto: proto, used: true, link: b.link[i], nic: b.nics[i], since: w.now}
	if q.held == 0 || w.now < q.oldest {
		q.oldest = w.now
	}
	return at
}

// add puts x in its place. A fragment that is here already is dropped alone,
// one that overlaps spoils the datagram (RFC 5722, and Linux for IPv4 too).
func (d *datagram) add(x piece, more bool) Reason {
	end := int(x.off) + int(x.len)
	k := 0
	for k < d.n && d.pieces[k].off < x.off {
		k++
	}
	switch {
	case k < d.n && d.pieces[k].off == x.off && d.pieces[k].len == x.len:
		return Recut // a duplicate: its bytes are here already
	case d.n == maxPieces:
		return HoldFull
	case k > 0 && int(d.pieces[k-1].off)+int(d.pieces[k-1].len) > int(x.off),
		k < d.n && end > int(d.pieces[k].off),
		!more && (d.total > 0 || k < d.n), more && d.total > 0 && end > d.total,
		x.len == 0, end > 65535:
		return BadFragment
	}
	if !more {
		d.total = end
	}
	copy(d.pieces[k+1:d.n+1], d.pieces[k:d.n])
	d.pieces[k] = x
	d.n++
	d.have += int(x.len)
	return Unexplained
}

// drop gives all fragments of d back.
func (q *fragments) drop(w *Worker, d *datagram, why Reason) {
	for k := range d.n {
		w.drop(d.pieces[k].frame.Addr, why)
	}
	q.held -= d.n
	d.used, d.n = false, 0
}

// evict drops the oldest datagram.
func (q *fragments) evict(w *Worker) {
	var oldest *datagram
	for s := range q.sets {
		for k := range q.sets[s] {
			if d := &q.sets[s][k]; d.used && (oldest == nil || d.since < oldest.since) {
				oldest = d
			}
		}
	}
	if oldest != nil {
		q.drop(w, oldest, HoldFull)
	}
}

// expire drops what did not become whole in time.
func (q *fragments) expire(w *Worker) {
	if q.held == 0 || w.now-q.oldest < fragmentPatience {
		return
	}
	q.oldest = w.now
	for s := range q.sets {
		for k := range q.sets[s] {
			d := &q.sets[s][k]
			if !d.used {
				continue
			}
			if w.now-d.since >= fragmentPatience {
				q.drop(w, d, FragmentTimeout)
			} else {
				q.oldest = min(q.oldest, d.since)
			}
		}
	}
}

// finish puts a whole datagram together and lets it take every stage but
// parse. What belongs to no service goes up as it came.
func (q *fragments) finish(w *Worker, d *datagram) {
	b := &w.whole
	b.received(1, int(d.nic))
	b.whole, b.limit, b.id = true, 0, d.id
	if d.toServer {
		b.how[0] = toServer
	}
	for k := range d.n {
		b.limit = max(b.limit, int(d.pieces[k].ip))
	}
	n := q.assemble(w, d)
	if fault := packet.Parse(q.buffer[:n], &b.packets[0]); fault != packet.OK {
		q.drop(w, d, ofFault(fault))
		return
	}
	w.classify(b, 0)
	w.aim(b)
	w.track(b, 0)
	if b.verdicts[0] == HandOver {
		q.handOver(w, d)
		return
	}
	w.schedule(b, 0)
	w.rewrite(b, 0)
	switch b.verdicts[0] {
	case PassUp:
		q.passUp(w, d)
	default:
		q.drop(w, d, b.reasons[0])
	}
}

// handOver gives the pieces to the worker that owns the connection, which puts
// them together again.
func (q *fragments) handOver(w *Worker, d *datagram) {
	b := &w.whole
	for k := range d.n {
		b.frames[0] = d.pieces[k].frame
		if w.handOver(b, 0, w.heir, w.bequest); b.verdicts[0] == HandOver {
			w.Counters.Handed++
		} else {
			w.drop(b.frames[0].Addr, HandFull)
		}
	}
	q.held -= d.n
	d.used, d.n = false, 0
}

func (q *fragments) passUp(w *Worker, d *datagram) {
	b := &w.whole
	for k := range d.n {
		b.frames[0] = d.pieces[k].frame
		w.passUp(b, 0)
	}
	q.held -= d.n
	d.used, d.n = false, 0
}

// assemble writes the datagram to the buffer as one packet without fragment
// fields, and returns its length.
func (q *fragments) assemble(w *Worker, d *datagram) int {
	first := w.pool.Data(d.pieces[0].frame)
	head := int(d.pieces[0].at)
	p := &w.whole.packets[0]
	if packet.Parse(first, p) != packet.OK || head+d.total > len(q.buffer) {
		return 0
	}
	l3 := int(p.L3)
	if p.V6 {
		head -= 8
	}
	n := copy(q.buffer[:], first[:head])
	for _, x := range d.pieces[:d.n] {
		n += copy(q.buffer[n:], w.pool.Data(x.frame)[x.at:int(x.at)+int(x.len)])
	}
	if p.V6 {
		unfragment6(q.buffer[:n], l3, first[head])
	} else {
		unfragment4(q.buffer[:n], l3, head)
	}
	return n
}

func unfragment4(b []byte, l3, head int) {
	h := b[l3:head]
	if len(b)-l3 > 65535 {
		h[0] = 0 // longer than IP allows: Parse refuses it
		return
	}
	binary.BigEndian.PutUint16(h[2:4], uint16(len(b)-l3))
	binary.BigEndian.PutUint16(h[6:8], 0)
	binary.BigEndian.PutUint16(h[10:12], 0)
	binary.BigEndian.PutUint16(h[10:12], packet.Checksum(h, 0))
}

// unfragment6 lets the header in front of the fragment header, whose bytes are
// gone, name what follows.
func unfragment6(b []byte, l3 int, next uint8) {
	if len(b)-l3-40 > 65535 {
		b[l3] = 0
		return
	}
	binary.BigEndian.PutUint16(b[l3+4:], uint16(len(b)-l3-40))
	const fragmentHeader = 44
	for at, off := l3+6, l3+40; at < len(b); at, off = off, off+8+8*int(b[off+1]) {
		if b[at] == fragmentHeader {
			b[at] = next
			return
		}
		if off+8 > len(b) || !slices.Contains([]uint8{0, 43, 60}, b[at]) {
			return
		}
	}
}
