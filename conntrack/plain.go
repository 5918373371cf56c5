package conntrack

import "github.com/lvx-lb/lvx/packet"

// What plain packets need of the table, in few steps.

// HashPlain is Hash for the client of a plain packet.
func (t *Table) HashPlain(client packet.PlainEndpoint) uint64 {
	h := mum(t.seed[0], client.Addr().Lo^t.seed[1])
	return mum(h^uint64(client>>32), t.seed[2])
}

// FindPlain is Find for a plain packet. It returns nil also for a connection
// that is Elsewhere or Aliased.
func (t *Table) FindPlain(hash uint64, client, other packet.PlainEndpoint, dir Direction) *Record {
	key := keyOccupied | uint64(client)
	i := t.home(hash)
	r := &t.slots[i]
	reach := Index(r.reach)
	for n := Index(1); ; n++ {
		if r.key == key && uint64(r.Server) < uint64(len(t.Pairs)) {
			pair := &t.Pairs[r.Server]
			if dir == ToServer {
				if r.VPort == other.Port() && pair.Virtual.Lo == other.Addr().Lo && r.State != OnePacket {
					return r
				}
			} else if r.RPort == other.Port() && pair.Real.Lo == other.Addr().Lo && r.Flags&(Shadowed|Aliased) == 0 {
				return r
			}
		}
		if n >= reach {
			return nil
		}
		i = t.step(i, n)
		r = &t.slots[i]
	}
}

// Pass notes a packet that changes neither state nor timeout. Of any other it
// returns false, and nothing has happened.
func (t *Table) Pass(r *Record, now Tick, dir Direction, e Event) bool {
	s := r.State
	if t.rules.next(s, dir, e) != s || t.timeout(s) != r.Timeout {
		return false
	}
	r.LastSeen = now
	r.wide[0]++
	return true
}
