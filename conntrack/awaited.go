package conntrack

import "github.com/lvx-lb/lvx/packet"

// Awaited returns what is OnePacket and awaits the answer of a server slot to a
// client that called virtual.
func (t *Table) Awaited(hash uint64, proto uint8, client, virtual packet.Endpoint, server uint32) Index {
	key := keyOf(hash, proto, client)
	i := t.home(hash)
	reach := Index(t.slots[i].reach)
	for n := Index(1); n <= reach; n++ {
		r := &t.slots[i]
		if r.key == key && r.isClient(client.Addr) && r.State == OnePacket && r.Flags&Shadowed == 0 &&
			r.Server == server && r.VPort == virtual.Port && t.virtual(i, r) == virtual.Addr {
			return i
		}
		i = t.step(i, n)
	}
	return None
}
