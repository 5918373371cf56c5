package rss

import (
	"encoding/binary"
	"fmt"

	"github.com/lvx-lb/lvx/packet"
)

// Placement says which worker the NICs give a client's packets to. It is made
// from what was read back from them.
type Placement struct {
	high, low [256]uint16 // hash of a word with this byte and a zero one
	workers   []uint8     // by the low bits of the hash
}

// maxTable is the longest indirection table: more would tell nothing, as the
// hash has 16 different bits.
const maxTable = 1 << 16

// NewPlacement returns what all of the spreads have in common, or why they
// have not: queue q of a NIC is served by worker q modulo workers.
func NewPlacement(workers int, spreads ...Spread) (*Placement, error) {
	p := &Placement{}
	for b := range 256 {
		key := SymmetricKey(8)
		p.high[b] = uint16(Toeplitz(key, []byte{byte(b), 0}))
		p.low[b] = uint16(Toeplitz(key, []byte{0, byte(b)}))
	}
	for i := range spreads {
		s := &spreads[i]
		if err := s.check(); err != nil {
			return nil, err
		}
		if len(s.Queues) > len(p.workers) {
			p.workers = make([]uint8, len(s.Queues))
			for k, q := range s.Queues {
				p.workers[k] = uint8(int(q) % workers)
			}
		}
	}
	for i := range spreads {
		queues := spreads[i].Queues
		for k, w := range p.workers {
			if int(queues[k&(len(queues)-1)])%workers != int(w) {
				return nil, fmt.Errorf("%w: their tables lead to different workers", ErrSide)
			}
		}
	}
	if len(p.workers) == 0 {
		return nil, fmt.Errorf("%w: no NIC", ErrSide)
	}
	return p, nil
}

// Owner returns the worker of a client.
func (p *Placement) Owner(client packet.Endpoint) int {
	h := p.hash(client)
	return int(p.workers[int(h)&(len(p.workers)-1)])
}

// hash is Toeplitz with SymmetricKey over address and port. Words have the
// same hash everywhere, so they are added first.
func (p *Placement) hash(e packet.Endpoint) uint16 {
	x := e.Addr.Hi ^ e.Addr.Lo
	x ^= x >> 32
	x ^= x >> 16
	w := uint16(x) ^ e.Port
	if e.Addr.Is4() {
		w = ^w // without the word 0xffff of an IPv4 address in IPv6 form
	}
	return p.high[w>>8] ^ p.low[uint8(w)]
}

// Input returns what a NIC that hashes fields feeds into its hash for a flow:
// the fields in the order of the packet.
func Input(f packet.Flow, fields Fields) []byte {
	var input []byte
	address := func(a packet.Addr) {
		if a.Is4() {
			input = binary.BigEndian.AppendUint32(input, a.V4())
			return
		}
		input = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(input, a.Hi), a.Lo)
	}
	if fields&SourceAddr != 0 {
		address(f.Src.Addr)
	}
	if fields&DestinationAddr != 0 {
		address(f.Dst.Addr)
	}
	if fields&SourcePort != 0 {
		input = binary.BigEndian.AppendUint16(input, f.Src.Port)
	}
	if fields&DestinationPort != 0 {
		input = binary.BigEndian.AppendUint16(input, f.Dst.Port)
	}
	return input
}
