package conntrack

import (
	"math/bits"

	"github.com/lvx-lb/lvx/packet"
)

// What plain packets need of the table, in few steps.

// Find4 is Find for a plain packet. It does not know those that are Elsewhere.
func (t *Table) Find4(hash uint64, p *packet.Plain, dir Direction) Index {
	client, ports := p.Src, uint32(p.SrcPort)<<16|uint32(p.DstPort)
	if dir == ToClient {
		client, ports = p.Dst, bits.RotateLeft32(ports, 16)
	}
	key := keyOccupied | uint64(p.Proto)<<48 | uint64(ports>>16)<<32 | uint64(client)
	i := t.home(hash)
	reach := Index(t.slots[i].reach)
	for n := Index(1); n <= reach; n++ {
		r := &t.slots[i]
		if r.key == key && uint64(r.Server) < uint64(len(t.Pairs)) {
			pair := &t.Pairs[r.Server]
			if dir == ToServer {
				if r.VPort == uint16(ports) && pair.Virtual == packet.AddrFrom4(p.Dst) && r.State != OnePacket {
					return i
				}
			} else if r.RPort == uint16(ports) && pair.Real == packet.AddrFrom4(p.Src) && r.Flags&Shadowed == 0 {
				return i
			}
		}
		i = t.step(i, n)
	}
	return None
}

// Pass notes a packet that changes neither state nor timeout. Of any other it
// returns false, and nothing has happened.
func (t *Table) Pass(r *Record, now Tick, dir Direction, e Event) bool {
	s := r.State
	if t.rules.next(s, dir, e) != s || t.timeout(s) != r.Timeout || r.key&(keyOccupied|keyV6) != keyOccupied {
		return false
	}
	r.LastSeen = now
	r.wide[0]++
	return true
}
