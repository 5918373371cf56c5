package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrChecksum is what VerifyChecksums finds wrong in a frame that Parse takes.
var ErrChecksum = errors.New("wrong checksum")

// VerifyChecksums checks every checksum of an unfragmented packet, byte by
// byte and by other code than the fast path: IPv4 header, TCP, UDP, ICMP,
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
