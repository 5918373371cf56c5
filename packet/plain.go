package packet

import "encoding/binary"

// Plain is what a glance tells of the packets that nearly all are: TCP or UDP
// over IPv4 in an untagged frame, whole, without IP options.
type Plain struct {
	Src, Dst         uint32
	SrcPort, DstPort uint16
	Len              uint16 // of the IP packet
	Proto            uint8
	TCPFlags         uint8 // 0 for UDP
}

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
// but that Parse has to look, at what is damaged, too, and at what has no UDP
// checksum. What it takes, Parse takes, and says the same of it.
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
	p.Src, p.Dst = src, binary.BigEndian.Uint32(h[30:34])
	p.SrcPort, p.DstPort = uint16(ports>>16), uint16(ports)
	p.Len, p.Proto, p.TCPFlags = uint16(total), proto, 0
	if proto == UDP {
		length := int(binary.BigEndian.Uint16(h[38:40]))
		return length >= udpLen && length <= total-ipv4Len && h[udpSumAt]|h[udpSumAt+1] != 0
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
	h := (*[plainLen]byte)(frame)
	n, stored := uint64(p.Len)-ipv4Len, binary.BigEndian.Uint16(h[udpSumAt:])
	if p.Proto == UDP {
		n = uint64(binary.BigEndian.Uint16(h[38:40]))
	} else {
		stored = binary.BigEndian.Uint16(frame[tcpSumAt:])
	}
	return stored == fold64(uint64(p.Src)+uint64(p.Dst)+uint64(p.Proto)+n)
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
	if p.Proto == TCP {
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
