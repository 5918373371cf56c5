package route

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

// attributes yields type and value of each netlink attribute in b, the flags
// of the type removed, and ends at the first malformed one.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) & typeMask
			if !yield(kind, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// Attribute numbers that x/sys lacks (include/uapi/linux/rtnetlink.h, nexthop.h).
const (
	rtaNexthopID     = 30 // RTA_NH_ID
	nhaResilientPart = 12 // NHA_RES_GROUP
)

// typeMask is NLA_TYPE_MASK of include/uapi/linux/netlink.h.
const typeMask = 0x3fff

// align rounds n up to the four bytes that netlink aligns to.
func align(n int) int { return (n + 3) &^ 3 }

// number reads an attribute of up to four bytes; a short one is 0.
func number(b []byte) uint32 {
	switch {
	case len(b) >= 4:
		return binary.NativeEndian.Uint32(b)
	case len(b) >= 2:
		return uint32(binary.NativeEndian.Uint16(b))
	case len(b) == 1:
		return uint32(b[0])
	}
	return 0
}

// text reads a name that may end with a zero byte.
func text(b []byte) string { return unix.ByteSliceToString(b) }

// address reads an address of 4 or 16 bytes; any other length is invalid.
func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// via reads RTA_VIA: a family and an address of it.
func via(b []byte) netip.Addr {
	if len(b) < 2 {
		return netip.Addr{}
	}
	switch binary.NativeEndian.Uint16(b) {
	case unix.AF_INET, unix.AF_INET6:
		return address(b[2:])
	}
	return netip.Addr{}
}

// prefix joins an address attribute and a length; without an attribute it is
// the family's whole space.
func prefix(family uint8, a netip.Addr, bits uint8) netip.Prefix {
	if !a.IsValid() && bits == 0 {
		a = netip.IPv4Unspecified()
		if family == unix.AF_INET6 {
			a = netip.IPv6Unspecified()
		}
	}
	if !a.IsValid() || a.Is4() != (family == unix.AF_INET) {
		return netip.Prefix{}
	}
	p, err := a.Prefix(int(bits))
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
