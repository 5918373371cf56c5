// Package rss is receive-side scaling: by which of its queues a NIC takes a
// packet in. NAT leaves only the client's endpoint as it is in both
// directions. A NIC that hashes the source of packets on the clients' side,
// and one that hashes the destination on the servers' side, with one key and
// one table, put both directions of a connection on queues of the same
// worker. BySide asks NICs for that, and a Placement says where it leads.
package rss

// word is the period of SymmetricKey: with it a 16-bit word has the same hash
// wherever it stands, as source or as destination, in IPv4 or IPv6.
var word = [2]byte{0x6d, 0x5a}

// SymmetricKey returns a hash key of n bytes that repeats 0x6d5a.
func SymmetricKey(n int) []byte {
	key := make([]byte, n)
	for i := range key {
		key[i] = word[i%2]
	}
	return key
}

// Toeplitz returns the hash of NICs: for every bit of input that is set, the
// 32 bits of the key that begin there are added without carry. Behind its end
// the key is taken for zero.
func Toeplitz(key, input []byte) uint32 {
	at := func(i int) uint64 {
		if i < len(key) {
			return uint64(key[i])
		}
		return 0
	}
	var sum uint32
	window := at(0)<<24 | at(1)<<16 | at(2)<<8 | at(3)
	for i, b := range input {
		window = window<<8 | at(i+4)
		for bit := range 8 {
			if b<<bit&0x80 != 0 {
				sum ^= uint32(window >> (8 - bit))
			}
		}
	}
	return sum
}
