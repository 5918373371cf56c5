package packet

import "encoding/binary"

func addrFrom16(b *[16]byte) Addr {
	return Addr{binary.BigEndian.Uint64(b[0:8]), binary.BigEndian.Uint64(b[8:16])}
}

func (a Addr) put16(b *[16]byte) {
	binary.BigEndian.PutUint64(b[0:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:16], a.Lo)
}

// multicast reports whether a names a group, or all of an IPv4 network
// (255.255.255.255).
func (a Addr) multicast() bool {
	if a.Is4() {
		return a.V4()>>28 == 0xe || a.V4() == 1<<32-1
	}
	return a.Hi>>56 == 0xff
}

// As16 returns the bytes of a in network order, IPv4 as ::ffff:a.b.c.d.
func (a Addr) As16() (b [16]byte) {
	a.put16(&b)
	return b
}
