package conntrack

import (
	"sync/atomic"

	"github.com/lvx-lb/lvx/packet"
)

// Two connections of one client endpoint with one server are one flow towards
// it: only what the client called tells them apart. The later one gets another
// client port there. Its answers come to that port and are found by a second
// record, the alias, which names the connection in its wheel links: an alias is
// in no wheel, and goes when its connection goes.

const (
	aliasTries = 16   // ports that lead here, and are looked at
	aliasLooks = 1024 // ports of which is asked whether they lead here

	// Like a NAT, an alias leaves privileged ports privileged.
	firstOpenPort = 1024
	lowPorts      = 512
	portStep      = 25171 // has no divisor in common with either number of ports
)

// SetAliases chooses whether a connection whose answers another one would get
// has an alias. Without, the newest of them answers, as in IPVS. It is for the
// owner, between batches.
func (t *Table) SetAliases(on bool) {
	t.aliasing = on
	if on && t.alias == nil {
		t.alias = make([]Index, len(t.slots))
	}
}

// FindAlias returns the connection whose answers come from real to client, an
// endpoint that stands for its own one.
func (t *Table) FindAlias(hash uint64, proto uint8, client, real packet.Endpoint) Index {
	if t.aliases == 0 {
		return None
	}
	key := keyOf(hash, proto, client) | keyAlias
	i := t.home(hash)
	reach := Index(t.slots[i].reach)
	for n := Index(1); n <= reach; n++ {
		r := &t.slots[i]
		if r.key == key && r.isClient(client.Addr) && r.RPort == real.Port && t.pair(r).Real == real.Addr {
			return t.Named(Name{r.next, uint32(r.prev)})
		}
		i = t.step(i, n)
	}
	return None
}

// PortToServer returns the client's port on the way to the server.
func (t *Table) PortToServer(i Index) uint16 {
	if t.slots[i].Flags&Aliased != 0 {
		i = t.alias[i]
	}
	return t.slots[i].port()
}

// isAliasOf reports whether r stands for the client endpoint and protocol of o.
func (r *Record) isAliasOf(o *Record) bool {
	return r.key == o.key|keyAlias && (r.key&keyV6 == 0 || r.wide == o.wide)
}

// spot is a free slot in the run of a home.
type spot struct{ home, at, probe Index }

// another looks for a client port that gives fresh, which will lie at avoid, a
// reply flow of its own, and for room for the alias.
func (t *Table) another(fresh *Record, avoid Index) (alias Record, where spot, room Room) {
	if t.count+2 > t.capacity {
		victim := t.oldestHalfOpen()
		if victim == None {
			return alias, where, Full
		}
		t.drop(victim, &t.slots[victim])
	}
	client := fresh.Client()
	own, first, span := client.Port, uint32(firstOpenPort), uint32(1<<16-firstOpenPort)
	if own < firstOpenPort {
		first, span = firstOpenPort-lowPorts, lowPorts
	}
	// The same connection begins with the same port again.
	next := uint32(splitmix(t.Hash(fresh.Proto(), client)^t.virtual(avoid, fresh).Lo^uint64(fresh.VPort)<<32) % uint64(span))
	for tries, looks := 0, 0; tries < aliasTries && looks < aliasLooks; looks++ {
		client.Port = uint16(first + next)
		next = (next + portStep) % span
		if client.Port == own || t.Owns != nil && !t.Owns(client) {
			continue
		}
		tries++
		hash := t.Hash(fresh.Proto(), client)
		alias = Record{key: keyOf(hash, fresh.Proto(), client), Server: fresh.Server, RPort: fresh.RPort, State: Established}
		if fresh.key&keyV6 != 0 {
			alias.wide = fresh.wide
		}
		where.home = t.home(hash)
		if where.at, where.probe = t.vacant(where.home, avoid); where.at != None && !t.answered(where.home, &alias) {
			return alias, where, OK
		}
	}
	return alias, where, NoPort
}

// vacant returns the first free slot of a run, but not avoid.
func (t *Table) vacant(home, avoid Index) (at, probe Index) {
	i := home
	for n := Index(0); n < probes; {
		if t.slots[i].free() && i != avoid {
			return i, n
		}
		n++
		i = t.step(i, n)
	}
	return None, 0
}

// answered reports whether the reply flow of fresh is another's.
func (t *Table) answered(home Index, fresh *Record) bool {
	i := home
	for n := Index(1); n <= Index(t.slots[home].reach); n++ {
		if r := &t.slots[i]; (r.sameClient(fresh) || r.isAliasOf(fresh)) && t.sameReply(r, fresh) {
			return true
		}
		i = t.step(i, n)
	}
	return false
}

// placeAlias writes the alias of the connection at i.
func (t *Table) placeAlias(i Index, where spot, alias *Record) {
	r := &t.slots[where.at]
	key := alias.key | keyAlias
	alias.key = 0
	alias.next, alias.prev = i, Index(t.slots[i].generation)
	alias.probe, alias.reach = uint8(where.probe), r.reach
	*r = *alias
	h := &t.slots[where.home]
	h.reach = max(h.reach, uint8(where.probe)+1)
	t.alias[i] = where.at
	t.count++
	t.aliases++
	atomic.StoreUint64(&r.key, key)
}

// dropAlias frees the alias of the connection that was at i.
func (t *Table) dropAlias(i Index) {
	at := t.alias[i]
	r := &t.slots[at]
	probe := Index(r.probe)
	atomic.StoreUint64(&r.key, 0)
	t.count--
	t.aliases--
	t.shrink(t.homeOf(at, probe), probe)
}
