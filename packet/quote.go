package packet

import "encoding/binary"

// IsIntact reports whether the checksum of an ICMP message or a TCP segment,
// which is no fragment, is right.
func (p *Packet) IsIntact() bool {
	b, pseudo := p.Data[p.L4:], uint32(0)
	if p.V6 || p.Proto == TCP {
		pseudo = uint32(PseudoSum(p.Src, p.Dst, p.Proto, len(b)))
	}
	return Checksum(b, pseudo) == 0
}

// TranslateQuote carries an ICMP error, p with Quote.OK, across the NAT: the
// address on the given side of p becomes to.Addr, and so do address and port
// on the other side of the quoted packet, which travelled the other way. An
// error from the servers' side takes the virtual endpoint as source, one to
// the VIP takes the real endpoint as destination.
//
// The TTL of p goes down by one; that of the quoted packet stays, and so does
// the quoted transport checksum, as in Linux.
func (p *Packet) TranslateQuote(to Endpoint, side Side) {
	q := &p.Quote
	old, addrAt, portAt := p.Src, 16, 2 // quoted destination
	quotedAddr, quotedPort := &q.Dst, &q.DstPort
	if side == Destination {
		old, addrAt, portAt = p.Dst, 12, 0
		quotedAddr, quotedPort = &q.Src, &q.SrcPort
	}
	outer := addrDifference(old, to.Addr)
	p.place(to.Addr, outer, side)

	diff := uint32(addrDifference(*quotedAddr, to.Addr))
	*quotedAddr = to.Addr
	h := p.Data[q.L3:q.L4]
	if p.V6 {
		diff += uint32(outer)         // the pseudo header
		addrAt = 8 + (addrAt-12)/4*16 // 8 or 24
		to.Addr.put16((*[16]byte)(h[addrAt:]))
	} else {
		binary.BigEndian.PutUint32(h[addrAt:], to.Addr.V4())
		was := binary.BigEndian.Uint16(h[10:12])
		setHeaderChecksum(h)
		diff += difference(was, binary.BigEndian.Uint16(h[10:12]))
	}
	if q.HasPorts {
		diff += difference(*quotedPort, to.Port)
		*quotedPort = to.Port
		binary.BigEndian.PutUint16(p.Data[int(q.L4)+portAt:], to.Port)
	}
	stored := p.Data[p.L4+2:]
	c := amend(binary.BigEndian.Uint16(stored), diff)
	if p.V6 && c == 0 {
		c = 0xffff // the same number; so Linux finishes what it leaves unfinished
	}
	binary.BigEndian.PutUint16(stored, c)
}
