package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrChecksum is what VerifyChecksums finds wrong in a frame that Parse takes.
var ErrChecksum = errors.New("wrong checksum")

// VerifyChecksums checks every checksum of an unfragmented packet, byte by
// byte and by other code than the fast path: IPv4 header, TCP, UDP, SCTP, ICMP,
// ICMPv6. Of a fragment it checks the IPv4 header. It is for tests.
func VerifyChecksums(frame []byte) error {
	var p Packet
	if f := Parse(frame, &p); f != OK {
		return fmt.Errorf("verify checksums: %w", f)
	}
	wrong := func(what string, got uint16) error {
		return fmt.Errorf("verify checksums: %s: sum %#04x: %w", what, got, ErrChecksum)
	}
	if !p.V6 {
		if s := slowSum(p.Data[p.L3:p.L4]); s != 0xffff {
			return wrong("IPv4 header", s)
		}
	}
	if p.Fragment {
		return nil
	}
	covered := p.Data[p.L4:]
	if p.Proto == SCTP && p.HasPorts {
		if c := slowCRC(covered); c != binary.LittleEndian.Uint32(covered[8:]) {
			return fmt.Errorf("verify checksums: SCTP: want %#08x: %w", c, ErrChecksum)
		}
		return nil
	}
	var pseudo []byte
	if p.V6 {
		pseudo = append(pseudo, p.Data[p.L3+8:p.L3+40]...)
	} else if p.Proto != ICMP {
		pseudo = append(pseudo, p.Data[p.L3+12:p.L3+20]...)
	}
	switch {
	case p.Proto == UDP:
		if binary.BigEndian.Uint16(covered[6:8]) == 0 && !p.V6 {
			return nil
		}
		covered = covered[:binary.BigEndian.Uint16(covered[4:6])]
	case p.Proto == TCP, p.Proto == ICMPv6 && p.V6, p.Proto == ICMP && !p.V6:
	default:
		return nil
	}
	if len(pseudo) > 0 {
		n := len(covered)
		pseudo = append(pseudo, 0, p.Proto, byte(n>>8), byte(n))
	}
	if s := slowSum(pseudo, covered); s != 0xffff {
		return wrong(fmt.Sprintf("protocol %d", p.Proto), s)
	}
	return nil
}

// slowSum adds parts of even length, the last one of any, word by word.
func slowSum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for i, x := range b {
			if i%2 == 0 {
				s += uint32(x) << 8
			} else {
				s += uint32(x)
			}
			if s > 0xffff {
				s -= 0xffff
			}
		}
	}
	return uint16(s)
}

// slowCRC is the CRC32c of an SCTP packet (RFC 9260 appendix A), bit by bit,
// its own field taken as 0.
func slowCRC(b []byte) uint32 {
	const reversed = 0x82f63b78 // the polynomial 0x1edc6f41
	c := ^uint32(0)
	for i, x := range b {
		if i < 8 || i >= 12 {
			c ^= uint32(x)
		}
		for range 8 {
			c = c>>1 ^ reversed&-(c&1)
		}
	}
	return ^c
}
