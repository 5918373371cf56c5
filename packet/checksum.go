package packet

import (
	"encoding/binary"
	"math/bits"
)

// Sums are kept in network byte order. All arithmetic is modulo 0xffff
// (one's complement), where 0 and 0xffff are the same value; fold never makes
// a 0 out of something that was not 0.

// fold adds the halves of s with end-around carry: added to itself rotated by
// half, the lower half carries into the upper one.
func fold(s uint32) uint16 { return uint16((s + bits.RotateLeft32(s, 16)) >> 16) }

func fold64(s uint64) uint16 { return fold(uint32((s + bits.RotateLeft64(s, 32)) >> 32)) }

// sum adds b as 16-bit words to initial; an odd last byte counts as a word
// with a zero after it. The result is folded.
func sum(b []byte, initial uint32) uint16 {
	s, c := uint64(0), uint64(0)
	for len(b) >= 32 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[8:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b[24:]), c)
		b = b[32:]
	}
	for len(b) >= 8 {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
		b = b[8:]
	}
	var rest uint64
	for i, x := range b {
		rest |= uint64(x) << (8 * i)
	}
	s, c = bits.Add64(s, rest, c)
	s, c = bits.Add64(s, 0, c)
	// Swapping the bytes of a one's complement sum swaps those of every word
	// (RFC 1071), so the loop reads little endian at full speed.
	return fold(uint32(bits.ReverseBytes16(fold64(s+c))) + uint32(fold(initial)))
}

// Checksum returns the Internet checksum of b, continuing from initial, a sum
// such as PseudoSum returns.
func Checksum(b []byte, initial uint32) uint16 { return ^sum(b, initial) }

// PseudoSum returns the folded sum of the pseudo header (RFC 9293 section
// 3.1, RFC 8200 section 8.1): what a CHECKSUM_PARTIAL packet carries in its
// checksum field. The mapped prefix of an IPv4 address adds a word of 0xffff,
// which is nothing modulo 0xffff.
func PseudoSum(src, dst Addr, proto uint8, length int) uint16 {
	s, c := bits.Add64(src.Hi, src.Lo, 0)
	s, c = bits.Add64(s, dst.Hi, c)
	s, c = bits.Add64(s, dst.Lo, c)
	s, c = bits.Add64(s, uint64(proto)+uint64(length), c)
	return fold64(s + c)
}

// addrDifference returns the difference that replacing old by new makes. It is
// never 0, so that a checksum amended by it comes out as a computed one would.
func addrDifference(old, new Addr) uint16 {
	s, c := bits.Add64(^old.Hi, ^old.Lo, 0)
	s, c = bits.Add64(s, new.Hi, c)
	s, c = bits.Add64(s, new.Lo, c)
	s, c = bits.Add64(s, 0xffff, c)
	return fold64(s + c)
}

// difference returns what to add to a sum that contained old and shall
// contain new.
func difference(old, new uint16) uint32 { return uint32(^old) + uint32(new) }

// amend changes the stored checksum by diff (RFC 1624 equation 3).
func amend(stored uint16, diff uint32) uint16 { return ^fold(uint32(^stored) + diff) }

// headerSum returns the folded sum of an IPv4 header without options, in the
// byte order of the machine; 0xffff is valid.
func headerSum(h *[20]byte) uint16 {
	s, c := bits.Add64(binary.LittleEndian.Uint64(h[0:8]), binary.LittleEndian.Uint64(h[8:16]), 0)
	s, c = bits.Add64(s, uint64(binary.LittleEndian.Uint32(h[16:20])), c)
	return fold64(s + c)
}
