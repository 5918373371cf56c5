package scheduler

import "math/bits"

// sipHash13 is SipHash-1-3 of the four bytes of v, lowest first, cut to 32
// bits: what Linux calls hsiphash on 64-bit machines.
func sipHash13(v uint32, k0, k1 uint64) uint32 {
	// "somepseudorandomlygeneratedbytes", SipHash's constants.
	s := sip{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
	last := 4<<56 | uint64(v) // length, then the bytes
	s[3] ^= last
	s.round()
	s[0] ^= last
	s[2] ^= 0xff
	s.round()
	s.round()
	s.round()
	return uint32(s[0] ^ s[1] ^ s[2] ^ s[3])
}

type sip [4]uint64

func (s *sip) round() {
	s[0] += s[1]
	s[2] += s[3]
	s[1] = bits.RotateLeft64(s[1], 13) ^ s[0]
	s[3] = bits.RotateLeft64(s[3], 16) ^ s[2]
	s[0] = bits.RotateLeft64(s[0], 32)
	s[2] += s[1]
	s[0] += s[3]
	s[1] = bits.RotateLeft64(s[1], 17) ^ s[2]
	s[3] = bits.RotateLeft64(s[3], 21) ^ s[0]
	s[2] = bits.RotateLeft64(s[2], 32)
}
