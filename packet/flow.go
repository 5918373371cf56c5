package packet

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IPv4 or IPv6 address, 16 bytes, comparable and without pointers.
// IPv4 is held as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), so one piece of
// code serves both. The zero Addr is ::.
type Addr struct {
	Hi, Lo uint64 // the address in network order, read as two numbers
}

const mapped4 = 0xffff << 32

// AddrFrom converts a, dropping its zone. An invalid a gives the zero Addr.
func AddrFrom(a netip.Addr) Addr {
	if !a.IsValid() {
		return Addr{}
	}
	b := a.As16()
	return Addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// AddrFrom4 converts an IPv4 address read as a number in network order.
func AddrFrom4(a uint32) Addr { return Addr{Lo: mapped4 | uint64(a)} }

// Is4 reports whether a is an IPv4 address.
func (a Addr) Is4() bool { return a.Hi == 0 && a.Lo>>32 == 0xffff }

// V4 returns the last 32 bits: the address if Is4.
func (a Addr) V4() uint32 { return uint32(a.Lo) }

// Netip converts a, IPv4 unmapped.
func (a Addr) Netip() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b).Unmap()
}

// Endpoint is an address and a transport port.
type Endpoint struct {
	Addr Addr
	Port uint16
}

// EndpointFrom converts a.
func EndpointFrom(a netip.AddrPort) Endpoint { return Endpoint{AddrFrom(a.Addr()), a.Port()} }

// Netip converts e.
func (e Endpoint) Netip() netip.AddrPort { return netip.AddrPortFrom(e.Addr.Netip(), e.Port) }

// Flow is one direction: protocol, source endpoint, destination endpoint.
type Flow struct {
	Proto    uint8 // IP protocol number
	Src, Dst Endpoint
}

// Reverse returns the flow of the answers.
func (f Flow) Reverse() Flow { return Flow{f.Proto, f.Dst, f.Src} }
