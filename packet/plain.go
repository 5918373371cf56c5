package packet

import "encoding/binary"

// Plain is what a glance tells of the packets that nearly all are: TCP or UDP
// over IPv4 in an untagged frame, whole, without IP options.
type Plain struct {
	Src, Dst PlainEndpoint
	Len      uint16 // of the IP packet
	TCPFlags uint8  // 0 for UDP
	Partial  bool   // the checksum is unfinished; Glance leaves it to others to look
}

// PlainEndpoint is an endpoint of a plain packet in one word: protocol, port and
// address, from the top.
type PlainEndpoint uint64

// PlainEndpointFrom joins the parts.
func PlainEndpointFrom(proto uint8, port uint16, addr uint32) PlainEndpoint {
	return PlainEndpoint(proto)<<48 | PlainEndpoint(port)<<32 | PlainEndpoint(addr)
}

// Addr returns the address.
func (e PlainEndpoint) Addr() Addr { return AddrFrom4(uint32(e)) }

// Endpoint converts e.
func (e PlainEndpoint) Endpoint() Endpoint { return Endpoint{e.Addr(), e.Port()} }

// Host returns a word for the address alone.
func (e PlainEndpoint) Host() PlainEndpoint { return 1<<48 | e&0xffffffff }

// WithPort returns e with another port.
func (e PlainEndpoint) WithPort(port uint16) PlainEndpoint {
	return e&^(0xffff<<32) | PlainEndpoint(port)<<32
}

// Port returns the port.
func (e PlainEndpoint) Port() uint16 { return uint16(e >> 32) }

// Proto returns the protocol.
func (e PlainEndpoint) Proto() uint8 { return uint8(e >> 48) }

const (
	plainL4   = ethLen + ipv4Len
	plainLen  = plainL4 + udpLen
	plainTCP  = plainL4 + tcpLen
	udpSumAt  = plainL4 + 6
	tcpSumAt  = plainL4 + 16
	typeMask  = 0x00ffffff // EtherType, version and header length
	typePlain = 0x00450008
	fragMask  = 0xff3f // more fragments, offset
)

// Glance reads a plain packet that lives for another hop. False means nothing
// but that Parse has to look, at what is damaged, too, and at UDP that has no
// checksum or carries more than it says. What it takes, Parse takes, and says
// the same of it.
func (p *Plain) Glance(frame []byte) bool {
	if len(frame) < plainLen {
		return false
	}
	h := (*[plainLen]byte)(frame)
	total := int(binary.BigEndian.Uint16(h[16:18]))
	if binary.LittleEndian.Uint32(h[12:16])&typeMask != typePlain || binary.LittleEndian.Uint16(h[20:22])&fragMask != 0 ||
		h[22] <= 1 || ethLen+total > len(frame) || headerSum((*[ipv4Len]byte)(h[ethLen:plainL4])) != 0xffff {
		return false
	}
	src, ports, proto := binary.BigEndian.Uint32(h[26:30]), binary.BigEndian.Uint32(h[34:38]), h[23]
	if martian4(src) {
		return false
	}
	p.Src = PlainEndpoint(proto)<<48 | PlainEndpoint(ports>>16)<<32 | PlainEndpoint(src)
	p.Dst = PlainEndpointFrom(proto, uint16(ports), binary.BigEndian.Uint32(h[30:34]))
	p.Len, p.TCPFlags = uint16(total), 0
	if proto == UDP {
		length := int(binary.BigEndian.Uint16(h[38:40]))
		return length >= udpLen && length == total-ipv4Len && h[udpSumAt]|h[udpSumAt+1] != 0
	}
	if proto != TCP || total < ipv4Len+tcpLen {
		return false
	}
	offset := int(frame[plainL4+12]>>4) * 4
	p.TCPFlags = frame[plainL4+13]
	return offset >= tcpLen && offset <= total-ipv4Len
}

// Unfinished reports whether the transport checksum is only the sum of the
// pseudo header (see Packet.Translate).
func (p *Plain) Unfinished(frame []byte) bool {
	start, offset := p.ChecksumAt()
	return binary.BigEndian.Uint16(frame[start+offset:]) == p.pseudoSum(uint32(p.Src), uint32(p.Dst))
}

// pseudoSum is PseudoSum of p between two addresses.
func (p *Plain) pseudoSum(src, dst uint32) uint16 {
	return fold64(uint64(src) + uint64(dst) + uint64(p.Src.Proto()) + uint64(p.Len) - ipv4Len)
}

// Unfold fills q as Parse would.
func (p *Plain) Unfold(frame []byte, q *Packet) {
	h, n := (*[plainLen]byte)(frame), ethLen+int(p.Len)
	q.Data = frame[:n:n]
	q.reset()
	q.Src, q.Dst = p.Src.Addr(), p.Dst.Addr()
	q.L3, q.L4, q.HasPorts = ethLen, plainL4, true
	q.TOS, q.TTL, q.Proto = h[15], h[22], h[23]
	q.FragID, q.DF = uint32(binary.BigEndian.Uint16(h[18:20])), h[20]&0x40 != 0
	q.SrcPort, q.DstPort, q.TCPFlags = p.Src.Port(), p.Dst.Port(), p.TCPFlags
}

// Translate is Packet.Translate for the plain packet in frame. p keeps telling
// what it was.
func (p *Plain) Translate(frame []byte, r *Rewrite, side Side) {
	const ttl = 0xffff - 0x0100 // minus one in the high byte of its word
	h := (*[plainLen]byte)(frame)
	h[22]--
	binary.BigEndian.PutUint16(h[24:26], amend(binary.BigEndian.Uint16(h[24:26]), uint32(r.IPDiff)+ttl))
	if side == Destination {
		binary.BigEndian.PutUint32(h[30:34], r.Addr.V4())
		binary.BigEndian.PutUint16(h[36:38], r.Port)
	} else {
		binary.BigEndian.PutUint32(h[26:30], r.Addr.V4())
		binary.BigEndian.PutUint16(h[34:36], r.Port)
	}
	if p.Src.Proto() == TCP {
		b := (*[2]byte)(frame[tcpSumAt:])
		binary.BigEndian.PutUint16(b[:], amend(binary.BigEndian.Uint16(b[:]), uint32(r.L4Diff)))
		return
	}
	c := amend(binary.BigEndian.Uint16(h[udpSumAt:]), uint32(r.L4Diff))
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(h[udpSumAt:], c)
}

// Unfinish makes the checksum of the plain packet in frame, translated or not,
// the sum of its pseudo header.
func (p *Plain) Unfinish(frame []byte) {
	h := (*[plainLen]byte)(frame)
	start, offset := p.ChecksumAt()
	sum := p.pseudoSum(binary.BigEndian.Uint32(h[26:30]), binary.BigEndian.Uint32(h[30:34]))
	binary.BigEndian.PutUint16(frame[start+offset:], sum)
}

// ChecksumAt returns from where on in its frame the checksum covers p, and how
// far behind that it is.
func (p *Plain) ChecksumAt() (start, offset int) {
	if p.Src.Proto() == TCP {
		return plainL4, tcpSumAt - plainL4
	}
	return plainL4, udpSumAt - plainL4
}
