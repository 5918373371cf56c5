package conntrack

import (
	"sync/atomic"

	"github.com/lvx-lb/lvx/packet"
)

// Room says whether a connection found room.
type Room uint8

// OK, or why not.
const (
	OK           Room = iota
	Full              // no connection is half-open, none gives way
	EndpointFull      // the client endpoint holds as many as it may, all established
	NoPort            // another connection has the reply flow, and no client port was found instead
)

// run is what one pass over the slots that a key may take finds.
type run struct {
	free  Index // first free slot
	probe Index // and its probe
	same  int   // connections of the same client endpoint
	posed bool  // an alias has that endpoint
	twin  Index // the one of these to the same virtual endpoint
	weak  Index // the longest silent of these that is not established
	stray Index // the longest silent half-open connection of somebody else
}

// Insert opens a connection. Another one may end for it: the one between the
// same client and virtual endpoint, the oldest half-open one when the table is
// full, or, when a client endpoint has filled its run, the longest silent one
// there that is not established.
func (t *Table) Insert(now Tick, hash uint64, proto uint8, client packet.Endpoint, server uint32,
	vport, rport uint16, state State) (Index, Room) {
	fresh := Record{key: keyOf(hash, proto, client), Server: server, VPort: vport, RPort: rport, State: state}
	return t.insert(now, hash, client, &fresh, t.pair(&fresh).Virtual)
}

// InsertElsewhere is Insert for a server slot whose pair names no virtual
// address, or rather one that no packet goes to: the connection has its own,
// as every one of a service by firewall mark.
func (t *Table) InsertElsewhere(now Tick, hash uint64, proto uint8, client, virtual packet.Endpoint, server uint32,
	rport uint16, state State) (Index, Room) {
	if t.virtuals == nil {
		t.virtuals = make([]packet.Addr, len(t.slots))
	}
	fresh := Record{key: keyOf(hash, proto, client), Server: server, VPort: virtual.Port, RPort: rport, State: state, Flags: Elsewhere}
	return t.insert(now, hash, client, &fresh, virtual.Addr)
}

func (t *Table) insert(now Tick, hash uint64, client packet.Endpoint, fresh *Record, virtual packet.Addr) (Index, Room) {
	if t.count == 0 {
		t.wheel.next, t.wheel.halfFrom = now, now
	}
	fresh.LastSeen, fresh.Timeout = now, t.timeout(fresh.State)
	if fresh.key&keyV6 != 0 {
		fresh.wide = [2]uint64{client.Addr.Hi, client.Addr.Lo}
	}
	home := t.home(hash)
	found := t.explore(home, fresh, virtual)
	victim, room := t.victim(&found)
	if room != OK {
		return None, room
	}
	if victim != None {
		t.drop(victim, &t.slots[victim])
		if found.free == None {
			found = t.explore(home, fresh, virtual)
		}
	}
	if fresh.Flags&Elsewhere != 0 {
		t.virtuals[found.free] = virtual
	}
	if found.same > 0 || found.posed {
		return t.join(home, &found, fresh)
	}
	t.place(home, found.free, found.probe, fresh)
	return found.free, OK
}

// join places a connection beside others of its client endpoint.
func (t *Table) join(home Index, found *run, fresh *Record) (Index, Room) {
	if !t.aliasing || !t.answered(home, fresh) {
		t.cover(home, fresh)
		t.place(home, found.free, found.probe, fresh)
		return found.free, OK
	}
	alias, where, room := t.another(fresh, found.free)
	if room != OK {
		return None, room
	}
	fresh.Flags |= Aliased
	t.place(home, found.free, found.probe, fresh)
	t.placeAlias(found.free, where, &alias)
	return found.free, OK
}

// explore looks at every slot within reach, and on to the first free one.
func (t *Table) explore(home Index, fresh *Record, virtual packet.Addr) run {
	found := run{free: None, twin: None, weak: None, stray: None}
	reach := Index(t.slots[home].reach)
	i := home
	for n := Index(0); n < probes && (n < reach || found.free == None); {
		r := &t.slots[i]
		switch {
		case r.free():
			if found.free == None {
				found.free, found.probe = i, n
			}
		case r.sameClient(fresh):
			found.same++
			if t.virtual(i, r) == virtual && t.sameRequest(r, fresh) {
				found.twin = i
			}
			if !r.State.Established() {
				found.weak = t.longerSilent(found.weak, i)
			}
		case r.isAliasOf(fresh):
			found.posed = true
		case r.State.HalfOpen():
			found.stray = t.longerSilent(found.stray, i)
		}
		n++
		i = t.step(i, n)
	}
	return found
}

// victim returns the connection that must end for the new one, None if there
// is room without.
func (t *Table) victim(found *run) (Index, Room) {
	victim := None
	switch {
	case found.twin != None:
		victim = found.twin
	case found.free == None && found.weak != None:
		victim = found.weak
	case found.free == None && found.same == probes:
		return None, EndpointFull
	case found.free == None:
		victim = found.stray
	case t.count < t.capacity:
		return None, OK
	default:
		victim = t.oldestHalfOpen()
	}
	if victim == None {
		return None, Full
	}
	return victim, OK
}

// place writes the record, the key last: who reads the table from outside
// must not see half of a connection.
func (t *Table) place(home, i, probe Index, fresh *Record) {
	r := &t.slots[i]
	t.serial++
	key := fresh.key
	fresh.key = 0
	fresh.generation = t.serial
	fresh.probe = uint8(probe)
	fresh.reach = r.reach
	*r = *fresh
	h := &t.slots[home]
	h.reach = max(h.reach, uint8(probe)+1)
	t.link(i, r)
	t.count++
	atomic.StoreUint64(&r.key, key)
}

// cover marks what would answer for the reply flow of a new connection.
func (t *Table) cover(home Index, fresh *Record) {
	i := home
	for n := Index(1); n <= Index(t.slots[home].reach); n++ {
		if r := &t.slots[i]; r.sameClient(fresh) && t.sameReply(r, fresh) {
			r.Flags |= Shadowed
			fresh.Flags |= Shadowing
		}
		i = t.step(i, n)
	}
}

// uncover lets the newest of those that gone has shadowed answer again.
func (t *Table) uncover(home Index, gone *Record) {
	heir, waiting := None, 0
	i := home
	for n := Index(1); n <= Index(t.slots[home].reach); n++ {
		if r := &t.slots[i]; r.sameClient(gone) && t.sameReply(r, gone) {
			waiting++
			if heir == None || int32(r.generation-t.slots[heir].generation) > 0 {
				heir = i
			}
		}
		i = t.step(i, n)
	}
	if heir == None {
		return
	}
	r := &t.slots[heir]
	r.Flags &^= shadows
	if waiting > 1 {
		r.Flags |= Shadowing
	}
}

// sameRequest reports whether both have the same request flow, given that they
// have the same client endpoint and virtual address. The answers of several
// servers can be awaited at a time.
func (t *Table) sameRequest(a, b *Record) bool {
	if a.State == OnePacket || b.State == OnePacket {
		return a.State == b.State && a.VPort == b.VPort && a.Server == b.Server
	}
	return a.VPort == b.VPort
}

// sameReply reports whether both have the same reply flow, given that they have
// the same client endpoint. What has an alias has none there.
func (t *Table) sameReply(a, b *Record) bool {
	return (a.Flags|b.Flags)&Aliased == 0 && a.RPort == b.RPort && t.pair(a).Real == t.pair(b).Real
}

// pair returns the addresses of the record's server slot, zero without one.
func (t *Table) pair(r *Record) Pair {
	if int(r.Server) < len(t.Pairs) {
		return t.Pairs[r.Server]
	}
	return Pair{}
}

// longerSilent returns that of two connections whose last packet is older.
func (t *Table) longerSilent(a, b Index) Index {
	if a != None && int32(t.slots[b].LastSeen-t.slots[a].LastSeen) >= 0 {
		return a
	}
	return b
}
