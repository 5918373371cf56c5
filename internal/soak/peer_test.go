package soak

import (
	"encoding/binary"

	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
)

const frameBytes = 60

type frame [frameBytes]byte

// peer is a queue whose far end talks TCP: it answers what it is sent. Nothing
// of it allocates once its lists have grown.
type peer struct {
	pool    *nic.Pool
	fill    []uint64
	sent    []uint64
	waiting []frame // what the worker receives next, a queue
	first   int
	answer  func(p *peer, seen *packet.Packet)
	seen    packet.Packet
	origin  func() (frame, bool) // frames of its own, when nothing waits
}

func (p *peer) say(f frame) {
	if p.first > 4096 {
		p.waiting = p.waiting[:copy(p.waiting, p.waiting[p.first:])]
		p.first = 0
	}
	p.waiting = append(p.waiting, f)
}

func (p *peer) next() (frame, bool) {
	if p.first < len(p.waiting) {
		p.first++
		return p.waiting[p.first-1], true
	}
	if p.origin == nil {
		return frame{}, false
	}
	return p.origin()
}

// Receive implements nic.Queue.
func (p *peer) Receive(frames []nic.Frame) (n int) {
	for n < len(frames) && len(p.fill) > 0 {
		f, ok := p.next()
		if !ok {
			break
		}
		chunk := p.fill[len(p.fill)-1]
		p.fill = p.fill[:len(p.fill)-1]
		frames[n] = nic.Frame{Addr: chunk + nic.Headroom, Len: frameBytes}
		copy(p.pool.Data(frames[n]), f[:])
		n++
	}
	return n
}

// Transmit implements nic.Queue.
func (p *peer) Transmit(frames []nic.Frame) int {
	for i := range frames {
		if packet.Parse(p.pool.Data(frames[i]), &p.seen) == packet.OK {
			p.answer(p, &p.seen)
		}
		p.sent = append(p.sent, p.pool.Start(frames[i].Addr))
	}
	return len(frames)
}

// Fill implements nic.Queue.
func (p *peer) Fill(chunks []uint64) int {
	for _, c := range chunks {
		p.fill = append(p.fill, p.pool.Start(c))
	}
	return len(chunks)
}

// Complete implements nic.Queue.
func (p *peer) Complete(chunks []uint64) int {
	n := copy(chunks, p.sent)
	p.sent = p.sent[:copy(p.sent, p.sent[n:])]
	return n
}

// Kick implements nic.Queue.
func (p *peer) Kick() {}

// FD implements nic.Queue.
func (p *peer) FD() int { return -1 }

// Stats implements nic.Queue.
func (p *peer) Stats() nic.Stats { return nic.Stats{} }

// segment is a TCP segment without payload.
func segment(from, to packet.Endpoint, mac [6]byte, flags uint8) (f frame) {
	copy(f[:], mac[:])
	f[6], f[11] = 2, 99
	f[12] = 0x08
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, packet.TCP
	binary.BigEndian.PutUint16(ip[2:], 40)
	binary.BigEndian.PutUint32(ip[12:], from.Addr.V4())
	binary.BigEndian.PutUint32(ip[16:], to.Addr.V4())
	binary.BigEndian.PutUint16(ip[10:], packet.Checksum(ip[:20], 0))
	binary.BigEndian.PutUint16(ip[20:], from.Port)
	binary.BigEndian.PutUint16(ip[22:], to.Port)
	ip[32], ip[33] = 5<<4, flags
	return f
}

// back is a segment in answer to p.
func back(p *packet.Packet, mac [6]byte, flags uint8) frame {
	return segment(packet.Endpoint{Addr: p.Dst, Port: p.DstPort}, packet.Endpoint{Addr: p.Src, Port: p.SrcPort}, mac, flags)
}
