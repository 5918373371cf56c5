package dataplane

import (
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
)

const (
	shortPatience = 5 * Second // for the rest of a datagram
	ipv4Patience  = 30 * Second
	ipv6Patience  = 60 * Second

	maxPieces    = 64
	datagramSets = 32
	datagramWays = 8
	maxDatagram  = 65535 + 128 // with Ethernet header and tags
)

// piece is one fragment of a datagram, held in its frame.
type piece struct {
	frame    nic.Frame
	off, len uint16 // of its payload in the datagram
	at       uint16 // of its payload in the frame
	ip       uint16 // length of its IP packet
	joined   bool   // came right behind the one before it: both are one run
}

func (x *piece) end() int { return int(x.off) + int(x.len) }

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
	farthest int // payload byte that was seen
	have     int
	pieces   [maxPieces]piece // by offset
}

// fragments holds the fragments of incomplete datagrams, of both directions
// and in any order. Nothing of a datagram leaves before all of it is here.
type fragments struct {
	held, limit int
	oldest      Time    // no datagram is older
	patience    [2]Time // of IPv4 and IPv6
	seed        uint64
	sets        [datagramSets][datagramWays]datagram
	lone        datagram // of one fragment
	cuts        []uint16 // payload bytes of the fragments of the datagram that is whole
	buffer      [maxDatagram]byte
}

func (q *fragments) init(l Limits, total int, seed uint64) {
	if q.limit = l.Fragments; q.limit == 0 {
		q.limit = max(total/16, 8)
	}
	q.seed, q.cuts = seed, make([]uint16, 0, maxPieces)
}

// wait says how long datagrams wait for their rest.
func (q *fragments) wait(short bool) {
	q.patience = [2]Time{ipv4Patience, ipv6Patience}
	if short {
		q.patience = [2]Time{shortPatience, shortPatience}
	}
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
	if p.MoreFragments {
		n &^= 7 // as Linux does with an uneven one
	}
	x := piece{frame: b.frames[i], off: p.FragOffset, len: uint16(n), at: uint16(at), ip: uint16(p.IPLen())}
	if q.held >= q.limit {
		q.evict(w)
	}
	d := &q.lone
	if p.MoreFragments || p.FragOffset != 0 {
		d = q.find(w, b, p, i)
	} else {
		*d = q.datagram(w, b, p, i)
	}
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
	fresh := q.datagram(w, b, p, i)
	h := (p.Src.Lo ^ p.Src.Hi ^ p.Dst.Lo<<7 ^ uint64(p.FragID)<<24 ^ q.seed) * 0xbf58476d1ce4e5b9
	set := &q.sets[h>>59]
	at := &set[0]
	for k := range set {
		d := &set[k]
		if d.used && d.src == p.Src && d.dst == p.Dst && d.id == p.FragID && d.proto == fresh.proto && d.link == b.link[i] {
			return d
		}
		if !d.used || at.used && d.since < at.since {
			at = d
		}
	}
	if at.used {
		q.drop(w, at, HoldFull)
	}
	*at = fresh
	if q.held == 0 || w.now < q.oldest {
		q.oldest = w.now
	}
	return at
}

// datagram returns a fresh one, that of p.
func (q *fragments) datagram(w *Worker, b *Batch, p *packet.Packet, i int) datagram {
	proto := p.Proto
	if p.V6 {
		proto = 0 // RFC 8200 section 4.5: addresses and identification alone
	}
	return datagram{src: p.Src, dst: p.Dst, id: p.FragID, proto: proto, used: true, link: b.link[i], nic: b.nics[i], since: w.now}
}

// add puts x in its place. A fragment whose bytes are here already is dropped
// alone; one that overlaps, or tells of another end, spoils the datagram (RFC
// 5722, and Linux for IPv4 too).
func (d *datagram) add(x piece, more bool) Reason {
	end := x.end()
	switch {
	case x.len == 0, end > 65535, more && d.total > 0 && end > d.total,
		!more && (end < d.farthest || d.total > 0 && end != d.total):
		return BadFragment
	case d.n == maxPieces:
		return HoldFull
	}
	if d.farthest = max(d.farthest, end); !more {
		d.total = end
	}
	k, why := d.place(&x)
	if why != Unexplained {
		return why
	}
	copy(d.pieces[k+1:d.n+1], d.pieces[k:d.n])
	d.pieces[k] = x
	d.n++
	d.have += int(x.len)
	return Unexplained
}

// place finds where x belongs among the pieces. Like Linux it takes x for a
// duplicate when it lies inside of one run, pieces that came one right behind
// the other.
func (d *datagram) place(x *piece) (k int, why Reason) {
	for at := 0; at < d.n; {
		last := at
		for last+1 < d.n && d.pieces[last+1].joined {
			last++
		}
		from, to := d.pieces[at].off, d.pieces[last].end()
		switch {
		case from <= x.off && x.end() <= to:
			return 0, Recut
		case int(x.off) < to && x.end() > int(from):
			return 0, BadFragment
		case to <= int(x.off):
			k = last + 1
		}
		at = last + 1
	}
	x.joined = k == d.n && k > 0 && d.pieces[k-1].end() == int(x.off)
	return k, Unexplained
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
	if q.held == 0 || w.now-q.oldest < q.patience[0] {
		return
	}
	q.oldest = w.now
	for s := range q.sets {
		for k := range q.sets[s] {
			d := &q.sets[s][k]
			if !d.used {
				continue
			}
			patience := q.patience[0]
			if !d.src.Is4() {
				patience = q.patience[1]
			}
			if w.now-d.since >= patience {
				q.giveUp(w, d)
			} else {
				q.oldest = min(q.oldest, d.since)
			}
		}
	}
}

// giveUp drops an incomplete datagram. Its sender hears of it if the first
// fragment is there.
func (q *fragments) giveUp(w *Worker, d *datagram) {
	if d.n > 0 && d.pieces[0].off == 0 && q.tellLate(w, d) {
		w.Counters.Dropped[FragmentTimeout]++
		w.Counters.Errors++
		q.held--
		d.n--
		copy(d.pieces[:d.n], d.pieces[1:])
	}
	q.drop(w, d, FragmentTimeout)
}

// tellLate sends the error in the frame of the first fragment.
func (q *fragments) tellLate(w *Worker, d *datagram) bool {
	p, f := &w.whole.packets[0], d.pieces[0].frame
	if packet.Parse(w.pool.Data(f), p) != packet.OK || !packet.MayError(p) {
		return false
	}
	src := p.Dst
	if !w.config.own.has(src) {
		if src = w.config.Links[d.link].source(p.V6); !p.V6 && p.TTL > 1 {
			p.Forward() // Linux has done so by then
		}
	}
	if src == (packet.Addr{}) || !w.limiter.allow(w.now, p.Src) {
		return false
	}
	packet.NoteRoute(p, src)
	e := errLate.of(p.V6)
	n := packet.BuildError(w.scratch[:], p, src, e[0], e[1], 0)
	return n > 0 && w.reply(f.Addr, n, d.link, MAC(p.Data[6:12]))
}
