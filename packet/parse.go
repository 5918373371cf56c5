package packet

import "encoding/binary"

// EthernetLen is the length of the header of an untagged frame.
const EthernetLen = ethLen

const (
	typeIPv4  = 0x0800
	typeIPv6  = 0x86dd
	typeVLAN  = 0x8100 // 802.1Q
	typeQinQ  = 0x88a8 // 802.1ad
	ethLen    = 14
	tagLen    = 4
	ipv4Len   = 20
	ipv6Len   = 40
	tcpLen    = 20
	udpLen    = 8
	icmpLen   = 8
	maxIPv4   = 65535
	fragUnits = 0x1fff // the 13 bits of an IPv4 fragment offset
)

// Parse finds the headers of frame and fills p with them. It checks every
// length and the IPv4 header checksum, never a transport checksum. After a
// fault only Data means anything.
func Parse(frame []byte, p *Packet) Fault {
	p.Data = frame
	p.reset()
	if len(frame) < ethLen {
		return Truncated
	}
	switch binary.BigEndian.Uint16(frame[12:14]) {
	case typeIPv4:
		return p.parse4(frame, ethLen)
	case typeIPv6:
		return p.parse6(frame, ethLen)
	case typeVLAN, typeQinQ:
		return p.parseTagged(frame)
	}
	return NotIP
}

// reset clears what not every packet sets, in the order of the struct: the
// compiler makes few stores of that.
func (p *Packet) reset() {
	p.HasPorts = false
	p.SrcPort, p.DstPort = 0, 0
	p.TCPFlags, p.ICMPType, p.ICMPCode, p.V6 = 0, 0, 0, false
	p.DF, p.Options, p.IsError, p.Fragment = false, false, false, false
	p.MoreFragments, p.Tags = false, 0
	p.Tag[0], p.Tag[1] = 0, 0
	p.FragOffset, p.FragHeader, p.Chunk, p.FragID = 0, 0, 0, 0
}

func (p *Packet) parseTagged(frame []byte) Fault {
	at := ethLen - 2 // of the EtherType or TPID looked at
	for {
		if len(frame) < at+2 {
			return Truncated
		}
		switch binary.BigEndian.Uint16(frame[at:]) {
		case typeIPv4:
			return p.parse4(frame, at+2)
		case typeIPv6:
			return p.parse6(frame, at+2)
		case typeVLAN, typeQinQ:
			if p.Tags == 2 {
				return NotIP
			}
			if len(frame) < at+tagLen {
				return Truncated
			}
			p.Tag[p.Tags&1] = binary.BigEndian.Uint16(frame[at+2:]) & 0x0fff
			p.Tags++
			at += tagLen
		default:
			return NotIP
		}
	}
}

func (p *Packet) parse4(frame []byte, l3 int) Fault {
	p.L3 = uint16(l3)
	b := frame[l3:]
	if len(b) < ipv4Len {
		return Truncated
	}
	h := (*[ipv4Len]byte)(b)
	if h[0]>>4 != 4 {
		return BadVersion
	}
	ihl, total := int(h[0]&15)*4, int(binary.BigEndian.Uint16(h[2:4]))
	if ihl < ipv4Len || total < ihl {
		return BadLength
	}
	if total > len(b) {
		return Truncated
	}
	p.Data = p.Data[: l3+total : l3+total]
	p.L4 = uint16(l3 + ihl)
	p.TOS, p.TTL, p.Proto = h[1], h[8], h[9]
	p.FragID = uint32(binary.BigEndian.Uint16(h[4:6]))
	src, flags := binary.BigEndian.Uint32(h[12:16]), binary.BigEndian.Uint16(h[6:8])
	p.Src = AddrFrom4(src)
	p.Dst = AddrFrom4(binary.BigEndian.Uint32(h[16:20]))
	p.DF = flags&0x4000 != 0
	if ihl != ipv4Len {
		if f := p.parseOptions(b[:ihl]); f != OK {
			return f
		}
	} else if headerSum(h) != 0xffff {
		return BadChecksum
	}
	if martian4(src) {
		return Martian
	}
	if flags&0x3fff != 0 {
		return p.parseFragment(b[ihl:total], int(flags&fragUnits)*8, flags&0x2000 != 0, ihl)
	}
	return p.parseTransport(b[ihl:total])
}

// martian4 tells sources that Linux never accepts: 0.0.0.0, 127/8, multicast and
// limited broadcast.
func martian4(src uint32) bool {
	top := src >> 24
	return src == 0 || top == 127 || top >= 224 && (top < 240 || src == 1<<32-1)
}

// parseFragment checks the place of a fragment that carries b; extra is what
// the length of the whole packet counts besides. Its transport header may go
// on in the next one: who needs it puts the datagram together first.
func (p *Packet) parseFragment(b []byte, offset int, more bool, extra int) Fault {
	p.Fragment, p.FragOffset, p.MoreFragments = true, uint16(offset), more
	n := len(b)
	if more && p.V6 && (n == 0 || n%8 != 0) || offset+n+extra > maxIPv4 {
		return BadFragment
	}
	if offset == 0 {
		return p.parseTransport(b)
	}
	return OK
}

// parseTransport reads the header that b begins with, if the protocol has one
// that matters.
func (p *Packet) parseTransport(b []byte) Fault {
	switch p.Proto {
	case TCP:
		if len(b) < tcpLen {
			if p.V6 {
				return Truncated // a first fragment without all of it is none (RFC 8200 section 4.5)
			}
			return p.short()
		}
		offset := int(b[12]>>4) * 4
		if offset < tcpLen {
			return BadLength
		}
		if offset > len(b) {
			return p.short()
		}
		p.TCPFlags = b[13]
	case UDP:
		if len(b) < udpLen {
			return p.short()
		}
		length := int(binary.BigEndian.Uint16(b[4:6]))
		if length < udpLen || length > len(b) && !p.Fragment {
			return BadLength
		}
	case SCTP:
		if len(b) < sctpLen {
			return p.short()
		}
		p.Chunk = chunkOf(b)
	case ICMP, ICMPv6:
		return p.parseICMP(b)
	default:
		return OK
	}
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b[0:2]), binary.BigEndian.Uint16(b[2:4])
	p.HasPorts = true
	return OK
}

// short is the fault of a transport header that the IP packet cuts off; it is
// none of a fragment.
func (p *Packet) short() Fault {
	if p.Fragment {
		return OK
	}
	return Truncated
}
