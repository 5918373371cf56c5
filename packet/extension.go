package packet

import "encoding/binary"

// IPv6 extension headers (RFC 8200 section 4).
const (
	hopByHop     = 0
	routing      = 43
	fragment     = 44
	destOptions  = 60
	fragmentLen  = 8
	maxExtension = 8 // more of them than any host sends
)

func (p *Packet) parse6(frame []byte, l3 int) Fault {
	p.L3, p.V6 = uint16(l3), true
	b := frame[l3:]
	if len(b) < ipv6Len {
		return Truncated
	}
	h := (*[ipv6Len]byte)(b)
	if h[0]>>4 != 6 {
		return BadVersion
	}
	length := ipv6Len + int(binary.BigEndian.Uint16(h[4:6]))
	if length > len(b) {
		return Truncated
	}
	p.Data = p.Data[: l3+length : l3+length]
	p.TOS, p.TTL = h[0]<<4|h[1]>>4, h[7]
	p.Src, p.Dst = addrFrom16((*[16]byte)(h[8:24])), addrFrom16((*[16]byte)(h[24:40]))
	if martian6(p.Src) || p.Dst.Is4() {
		return Martian
	}
	p.Proto, p.L4 = h[6], uint16(l3+ipv6Len)
	if p.Proto == TCP || p.Proto == UDP {
		return p.parseTransport(b[ipv6Len:length])
	}
	var c chain
	if f := c.walk(p.Data, l3); f != OK {
		return f
	}
	if p.Proto == hopByHop && !skippable(b[ipv6Len+2:ipv6Len+8+int(b[ipv6Len+1])*8]) {
		return BadExtension
	}
	p.Proto, p.L4 = c.next, uint16(c.end)
	if c.fragment == 0 {
		return p.parseTransport(p.Data[c.end:])
	}
	p.FragHeader = uint16(c.fragment)
	p.FragID = binary.BigEndian.Uint32(p.Data[c.fragment+4:])
	return p.parseFragment(p.Data[c.end:], c.offset, c.more, c.end-c.afterFragment())
}

// skippable reports whether who does not know hop-by-hop options may pass them
// over (RFC 8200 section 4.2). Linux tells the sender of the others.
func skippable(opts []byte) bool {
	const pad1, act = 0, 0xc0 // what to do with a packet, in the type of an option that is not known
	for len(opts) > 0 {
		if opts[0] == pad1 {
			opts = opts[1:]
			continue
		}
		if len(opts) < 2 || opts[0]&act != 0 || 2+int(opts[1]) > len(opts) {
			return false
		}
		opts = opts[2+int(opts[1]):]
	}
	return true
}

// martian6 tells sources that no packet on a wire may carry: ::, ::1 and
// multicast; and IPv4-mapped ones, which would pass for IPv4 addresses.
func martian6(src Addr) bool {
	return src.Hi == 0 && (src.Lo <= 1 || src.Is4()) || src.Hi>>56 == 0xff
}

// chain is what walk finds between an IPv6 header and the transport header.
type chain struct {
	end      int   // offset of the transport header, or of a later fragment's payload
	next     uint8 // protocol at end
	fragment int   // offset of the fragment header, 0 = none
	offset   int   // of the fragment in the datagram, bytes
	more     bool
	part     int // end of the unfragmentable part (RFC 8200 section 4.5)
	nextAt   int // offset of the next-header byte that points to part
	// offset of the next-header byte that points to the fragment header
	fragmentNextAt int
}

func (c *chain) afterFragment() int { return c.fragment + fragmentLen }

// walk follows the extension headers of the IPv6 header at l3 in data.
func (c *chain) walk(data []byte, l3 int) Fault {
	c.end, c.nextAt = l3+ipv6Len, l3+6
	c.part, c.next = c.end, data[c.nextAt]
	nextAt := c.nextAt
	for range maxExtension {
		b := data[c.end:]
		length := fragmentLen
		switch c.next {
		case hopByHop, routing, destOptions:
			if len(b) < 8 {
				return Truncated
			}
			if c.next == hopByHop && nextAt != l3+6 {
				return BadExtension
			}
			// Segments left means that the destination is not yet the last.
			if c.next == routing && b[3] != 0 {
				return SourceRoute
			}
			length = int(b[1])*8 + 8
		case fragment:
			if len(b) < fragmentLen {
				return Truncated
			}
			if c.fragment != 0 {
				return BadExtension
			}
		default:
			return OK
		}
		if len(b) < length {
			return Truncated
		}
		if done := c.step(b, &nextAt, length); done {
			return OK
		}
	}
	return BadExtension
}

// step passes one header of the given length; it reports whether what follows
// is the payload of a later fragment.
func (c *chain) step(b []byte, nextAt *int, length int) bool {
	kind := c.next
	before := *nextAt
	*nextAt, c.next = c.end, b[0]
	if kind == fragment {
		c.fragmentNextAt = before
		field := binary.BigEndian.Uint16(b[2:])
		c.fragment, c.offset, c.more = c.end, int(field&^7), field&1 != 0
	}
	c.end += length
	if c.fragment == 0 && kind != destOptions {
		c.part, c.nextAt = c.end, *nextAt
	}
	return c.offset != 0
}
