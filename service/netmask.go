package service

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
)

// Netmask says how much of its address makes a client: so many first bits, 0
// for all of them. An IPv4 mask that no number says, such as 0.0.0.0, which
// makes all clients one, and 255.0.255.0, comes from IPv4Mask.
type Netmask uint64

// scattered marks a Netmask that holds the bits of an IPv4 mask.
const scattered Netmask = 1 << 32

// IPv4Mask returns the Netmask of the bits of an IPv4 mask.
func IPv4Mask(mask uint32) Netmask {
	switch first := bits.LeadingZeros32(^mask); {
	case first == 32:
		return 0
	case first > 0 && mask<<first == 0:
		return Netmask(first)
	}
	return scattered | Netmask(mask)
}

// IPv4 returns the bits of an IPv4 mask.
func (m Netmask) IPv4() uint32 {
	switch {
	case m&scattered != 0:
		return uint32(m)
	case m == 0:
		return ^uint32(0)
	}
	return ^uint32(0) << (32 - m)
}

// fits reports whether addresses of a family can have the mask.
func (m Netmask) fits(v6 bool) bool {
	if v6 {
		return m <= 128
	}
	return m <= 32 || m>>32 == 1
}

// String returns the number of bits, or the mask that no number says.
func (m Netmask) String() string {
	if m&scattered == 0 {
		return strconv.FormatUint(uint64(m), 10)
	}
	return m.dotted()
}

// dotted returns an IPv4 mask as addresses are written.
func (m Netmask) dotted() string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], m.IPv4())
	return netip.AddrFrom4(b).String()
}

// MarshalJSON writes a number of bits, or the text of a mask.
func (m Netmask) MarshalJSON() ([]byte, error) {
	if m&scattered != 0 {
		return strconv.AppendQuote(nil, m.String()), nil
	}
	return []byte(m.String()), nil
}

// UnmarshalJSON reads a number of bits, or the text of a mask.
func (m *Netmask) UnmarshalJSON(b []byte) error {
	text := string(b)
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		*m = Netmask(n)
		return nil
	}
	if quoted, err := strconv.Unquote(text); err == nil {
		if a, err := netip.ParseAddr(quoted); err == nil && a.Is4() {
			*m = IPv4Mask(binary.BigEndian.Uint32(a.AsSlice()))
			return nil
		}
	}
	return fmt.Errorf("%w: netmask %s", ErrInvalid, text)
}
