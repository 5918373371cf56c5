package dataplane

import (
	"encoding/binary"
	"slices"

	"github.com/lvx-lb/lvx/packet"
)

// finish puts a whole datagram together and lets it take every stage but
// parse. What belongs to no service goes up as it came.
func (q *fragments) finish(w *Worker, d *datagram) {
	b := &w.whole
	b.received(1, int(d.nic))
	b.whole, b.limit, b.id = true, 0, d.id
	if d.toServer {
		b.how[0] = toServer
	}
	q.cuts = q.cuts[:0]
	for _, x := range d.pieces[:d.n] {
		b.limit = max(b.limit, int(x.ip))
		q.cuts = append(q.cuts, x.len)
	}
	n := q.assemble(w, d)
	if fault := packet.Parse(q.buffer[:n], &b.packets[0]); fault != packet.OK {
		q.drop(w, d, ofFault(fault))
		return
	}
	w.classify(b, 0)
	w.aim(b, 0)
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
