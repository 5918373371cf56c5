package packet

import "encoding/binary"

// ICMP types that matter to NAT (RFC 792, RFC 4443).
const (
	Unreachable   uint8 = 3
	sourceQuench  uint8 = 4
	redirect      uint8 = 5
	TimeExceeded  uint8 = 11
	ParamProblem  uint8 = 12
	Unreachable6  uint8 = 1
	TooBig6       uint8 = 2
	TimeExceeded6 uint8 = 3
	ParamProblem6 uint8 = 4
	redirect6     uint8 = 137
)

func (p *Packet) parseICMP(b []byte) Fault {
	if p.V6 != (p.Proto == ICMPv6) {
		return OK // an unknown protocol there
	}
	if len(b) < icmpLen {
		return p.short()
	}
	p.ICMPType, p.ICMPCode = b[0], b[1]
	if p.V6 {
		p.IsError = b[0] >= Unreachable6 && b[0] <= ParamProblem6
	} else {
		switch b[0] {
		case Unreachable, sourceQuench, TimeExceeded, ParamProblem:
			p.IsError = true
		}
	}
	if p.IsError {
		p.Quote = Quote{}
		p.Quote.OK = !p.Fragment && p.parseQuote(int(p.L4)+icmpLen)
	}
	return OK
}

// parseQuote reads the packet quoted at l3 and reports whether it got as far
// as the ports, or to where none are expected. A quote is usually cut short,
// so its length fields mean nothing here.
func (p *Packet) parseQuote(l3 int) bool {
	q := &p.Quote
	q.L3 = uint16(l3)
	if p.V6 {
		if !p.parseQuote6(l3) {
			return false
		}
	} else if !p.parseQuote4(l3) {
		return false
	}
	if q.Fragment || q.Proto != TCP && q.Proto != UDP && q.Proto != SCTP {
		return true
	}
	b := p.Data[q.L4:]
	if len(b) < 4 {
		return false
	}
	q.SrcPort, q.DstPort = binary.BigEndian.Uint16(b[0:2]), binary.BigEndian.Uint16(b[2:4])
	q.HasPorts = true
	return true
}

func (p *Packet) parseQuote4(l3 int) bool {
	q, b := &p.Quote, p.Data[l3:]
	if len(b) < ipv4Len || b[0]>>4 != 4 {
		return false
	}
	ihl := int(b[0]&15) * 4
	if ihl < ipv4Len || ihl > len(b) {
		return false
	}
	q.L4, q.Proto = uint16(l3+ihl), b[9]
	q.Fragment = binary.BigEndian.Uint16(b[6:8])&fragUnits != 0
	q.Src = AddrFrom4(binary.BigEndian.Uint32(b[12:16]))
	q.Dst = AddrFrom4(binary.BigEndian.Uint32(b[16:20]))
	return true
}

func (p *Packet) parseQuote6(l3 int) bool {
	q, b := &p.Quote, p.Data[l3:]
	if len(b) < ipv6Len || b[0]>>4 != 6 {
		return false
	}
	q.Src, q.Dst = addrFrom16((*[16]byte)(b[8:24])), addrFrom16((*[16]byte)(b[24:40]))
	var c chain
	if q.Src.Is4() || q.Dst.Is4() || c.walk(p.Data, l3) != OK {
		return false
	}
	q.L4, q.Proto, q.Fragment = uint16(c.end), c.next, c.offset != 0
	return true
}
