package scheduler

// Times of lblc and lblcr in ticks.
const (
	halfHour = 30 * 60 * 10
	oneDay   = 24 * 60 * 60 * 10
)

// local keeps the connections to one destination address together, so that
// caches behind the servers stay warm: lblc on one server, lblcr on a set of
// servers that grows under load and shrinks once a day. While the address has
// nobody, or somebody with too much to do, it takes the server that wlc would
// take.
//
// IPVS forgets an address unused for a day when it looks every half hour; so
// does local, without a timer. A full table forgets the address unused for
// the longest time, where IPVS grows and drops some unused for six minutes.
type local struct {
	replicate bool // lblcr
	since     uint32
	roll      roll
	memory    memory
}

func newLocal(o *options) Scheduler {
	return &local{since: o.since, memory: newMemory(o.addresses)}
}

func newReplicated(o *options) Scheduler {
	return &local{since: o.since, memory: newMemory(o.addresses), replicate: true}
}

func (l *local) Pick(servers []Server, k Key) int {
	p := l.memory.find(&k.Dst)
	if p != none && l.forgotten(l.memory.places[p].used, k.Now) {
		l.memory.drop(p)
		p = none
	}
	if p != none {
		l.memory.use(p, k.Now)
		i := l.remembered(p, servers, k.Now)
		if i >= 0 && !(servers[i].crowded() && anyIdling(servers)) {
			return i
		}
	}
	i := least{weightedConnections}.Pick(servers, k)
	if i < 0 {
		return -1
	}
	if p == none {
		p = l.memory.add(&k.Dst, k.Now)
	}
	l.remember(p, l.roll.number(i, servers), k.Now)
	return i
}

// forgotten reports whether an address last used then has been thrown away.
func (l *local) forgotten(used, now uint32) bool {
	age := int32(now - l.since)
	if age < halfHour {
		return false
	}
	looked := l.since + uint32(age)/halfHour*halfHour
	return int32(looked-used) >= oneDay
}

// anyIdling reports whether a server has less than half the active
// connections that it could have.
func anyIdling(servers []Server) bool {
	for i := range servers {
		if 2*int(servers[i].Counts.Active.Load()) < servers[i].Weight {
			return true
		}
	}
	return false
}

// remembered returns the server for the address at p, -1 if it has none. Like
// IPVS, lblc goes on sending to a server that passed a threshold.
func (l *local) remembered(p int32, servers []Server, now uint32) int {
	if !l.replicate {
		i := l.roll.find(l.memory.first(p), servers)
		if i >= 0 && servers[i].Weight == 0 {
			return -1
		}
		return i
	}
	best := nobody
	for m := l.memory.places[p].members; m != none; m = l.memory.members[m].next {
		i := l.roll.find(l.memory.members[m].server, servers)
		if i >= 0 && servers[i].usable() {
			best.orLess(i, weightedConnections(&servers[i]))
		}
	}
	l.shrink(p, servers, now)
	return best.index
}

// shrink takes the busiest server off a set that has not changed for a day.
// Servers that have left the list count as they were when they left.
func (l *local) shrink(p int32, servers []Server, now uint32) {
	set := &l.memory.places[p]
	if set.size < 2 || int32(now-set.changed) <= oneDay {
		return
	}
	most := nobody
	for m := set.members; m != none; m = l.memory.members[m].next {
		n := l.memory.members[m].server
		s := &l.roll.seen[n]
		if i := l.roll.find(n, servers); i >= 0 {
			s = &servers[i]
		}
		if s.Weight > 0 {
			most.orMore(int(n), weightedConnections(s))
		}
	}
	if most.index >= 0 {
		l.memory.remove(p, int32(most.index), now)
	}
}

func (l *local) remember(p, server int32, now uint32) {
	switch {
	case server == none:
	case !l.replicate:
		l.memory.clear(p)
		l.memory.insert(p, server, now)
	case !l.memory.has(p, server):
		l.memory.insert(p, server, now)
	}
}

// Update makes room for sets that hold every server.
func (l *local) Update(servers []Server) {
	if renamed := l.roll.update(servers); renamed != nil {
		l.memory.rename(renamed)
	}
	l.memory.grow(len(l.roll.seen))
}
