package packet

import "encoding/binary"

// How long an ICMP error may become: RFC 1812 section 4.3.2.3 and RFC 4443
// section 2.4 (c).
const (
	maxError   = 576
	maxError6  = 1280
	controlTOS = 0xc0 // precedence of network control, which IPv6 does without
	serviceTOS = 0x1e // and the kind of service, which is that of the packet
)

// MayError reports whether an ICMP error may be sent about p: never about
// another error or a redirect, a later fragment, or what was not sent from one
// host to one host (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)).
func MayError(p *Packet) bool {
	if len(p.Data) == 0 || p.Data[0]&1 != 0 || p.Fragment && p.FragOffset != 0 {
		return false
	}
	if p.Dst.multicast() || p.Src.multicast() || p.Src == (Addr{}) || p.Src == AddrFrom4(0) {
		return false
	}
	switch {
	case p.IsError:
		return false
	case p.V6 && p.Proto == ICMPv6:
		return p.ICMPType >= 0x80 && p.ICMPType != redirect6
	case !p.V6 && p.Proto == ICMP:
		return p.ICMPType != redirect
	}
	return true
}

// BuildError writes into dst the ICMP error about p that a host with the
// address src sends to p.Src, and returns its length, 0 if dst is too short or
// src of the other family. It quotes the packet as it is in p.Data, with as
// much of it as the error may carry. mtu is for "fragmentation needed" and
// "packet too big". IPv4 options that record the way are echoed, src among
// them. The frame has no VLAN tag and goes back to where p came from.
func BuildError(dst []byte, p *Packet, src Addr, typ, code uint8, mtu uint32) int {
	room, proto, tos := maxError6-ipv6Len-icmpLen, ICMPv6, uint8(0)
	if !p.V6 {
		room, proto, tos = maxError-ipv4Len-icmpLen, ICMP, controlTOS|p.Data[p.L3+1]&serviceTOS
	}
	var space [maxOptions]byte
	options, ok := echo(&space, p, src)
	quoted := p.Data[p.L3:]
	quoted = quoted[:min(len(quoted), room-len(options))]
	frame := answer(dst, p, len(options)+icmpLen+len(quoted))
	if frame == nil || !ok || src.Is4() == p.V6 {
		return 0
	}
	body := frame[len(frame)-icmpLen-len(quoted):]
	clear(body[:icmpLen])
	body[0], body[1] = typ, code
	if p.V6 {
		binary.BigEndian.PutUint32(body[4:8], mtu)
	} else {
		binary.BigEndian.PutUint16(body[6:8], uint16(min(mtu, 0xffff)))
	}
	copy(body[icmpLen:], quoted)
	pseudo := uint32(0)
	if p.V6 {
		pseudo = uint32(PseudoSum(src, p.Src, ICMPv6, len(body)))
	}
	c := Checksum(body, pseudo)
	binary.BigEndian.PutUint16(body[2:4], c)
	// Without DF the identification must vary (RFC 6864). The checksum does,
	// with all that is quoted, and needs no state.
	writeIP(frame[ethLen:], src, p.Src, proto, tos, c, false)
	if len(options) > 0 {
		insertOptions(frame[ethLen:], options)
	}
	return len(frame)
}
