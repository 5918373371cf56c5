package packet

import "encoding/binary"

// MovePort puts another port on one side of p and mends the checksum of TCP,
// UDP or SCTP as Translate does, which comes after it.
func (p *Packet) MovePort(to uint16, side Side, partial bool) {
	if !p.HasPorts {
		return
	}
	if p.Proto == SCTP {
		p.movePortSCTP(to, side, partial, false)
		return
	}
	stored := p.Data[p.checksumAt():][:2]
	old := binary.BigEndian.Uint16(stored)
	if partial && p.isPartial(old, p.Data[p.L4:]) {
		p.PutPort(to, side)
		p.FillChecksum()
		return
	}
	from := p.SrcPort
	if side == Destination {
		from = p.DstPort
	}
	p.PutPort(to, side)
	if p.Proto == UDP && old == 0 {
		return
	}
	c := amend(old, uint32(difference(from, to)))
	if p.Proto == UDP && c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(stored, c)
}

// PutPort writes a port to one side of p, and mends nothing.
func (p *Packet) PutPort(to uint16, side Side) {
	if !p.HasPorts {
		return
	}
	port, at := &p.SrcPort, p.L4
	if side == Destination {
		port, at = &p.DstPort, p.L4+2
	}
	*port = to
	binary.BigEndian.PutUint16(p.Data[at:], to)
}

// MoveQuotedPort puts another port on one side of the packet that p, an ICMP
// error with Quote.OK, quotes. The quoted transport checksum stays, as
// TranslateQuote leaves it.
func (p *Packet) MoveQuotedPort(to uint16, side Side) {
	q := &p.Quote
	if !q.HasPorts {
		return
	}
	port, at := &q.SrcPort, q.L4
	if side == Destination {
		port, at = &q.DstPort, q.L4+2
	}
	diff := difference(*port, to)
	*port = to
	binary.BigEndian.PutUint16(p.Data[at:], to)
	stored := p.Data[p.L4+2:]
	binary.BigEndian.PutUint16(stored, amend(binary.BigEndian.Uint16(stored), uint32(diff)))
}
