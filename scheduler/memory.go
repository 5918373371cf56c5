package scheduler

import "slices"

// memory holds a bounded number of addresses, each with a set of servers, in
// the order of their use. Nothing is allocated after newMemory but by grow.
type memory struct {
	limit          int     // of places
	buckets        []int32 // first place of each
	bits           uint
	places         []place
	members        []member
	freePlace      int32 // list by place.next
	freeMember     int32 // list by member.next
	newest, oldest int32
}

// place is an address and its servers.
type place struct {
	addr          [16]byte
	used, changed uint32 // last use, last change of the set
	members, size int32  // newest first
	next          int32  // of its bucket
	newer, older  int32
}

// member is a server in the set of an address.
type member struct{ server, next int32 }

func newMemory(addresses int) memory {
	m := memory{limit: addresses, freePlace: none, freeMember: none, newest: none, oldest: none}
	for 1<<m.bits < addresses {
		m.bits++
	}
	m.buckets = slices.Repeat([]int32{none}, 1<<m.bits)
	m.places = make([]place, 0, addresses)
	m.grow(0)
	return m
}

// grow makes room for sets of so many servers.
func (m *memory) grow(servers int) {
	wanted := 2*m.limit + 2*servers
	m.members = slices.Grow(m.members, max(wanted-len(m.members), 0))
}

func (m *memory) bucket(addr *[16]byte) *int32 {
	return &m.buckets[hash32(fold(*addr), m.bits)]
}

func (m *memory) find(addr *[16]byte) int32 {
	p := *m.bucket(addr)
	for p != none && m.places[p].addr != *addr {
		p = m.places[p].next
	}
	return p
}

// add adds an address that is not there. A full memory forgets the one that
// was not used for the longest time.
func (m *memory) add(addr *[16]byte, now uint32) int32 {
	if m.freePlace == none && len(m.places) == m.limit {
		m.drop(m.oldest)
	}
	p := m.freePlace
	if p != none {
		m.freePlace = m.places[p].next
	} else {
		p = int32(len(m.places))
		m.places = append(m.places, place{})
	}
	b := m.bucket(addr)
	m.places[p] = place{addr: *addr, used: now, changed: now, members: none, next: *b}
	*b = p
	m.link(p)
	return p
}

// drop forgets the address at p.
func (m *memory) drop(p int32) {
	m.clear(p)
	m.unlink(p)
	at := m.bucket(&m.places[p].addr)
	for *at != p {
		at = &m.places[*at].next
	}
	*at = m.places[p].next
	m.places[p].next, m.freePlace = m.freePlace, p
}

// use makes p the address used last.
func (m *memory) use(p int32, now uint32) {
	m.places[p].used = now
	if m.newest != p {
		m.unlink(p)
		m.link(p)
	}
}

func (m *memory) link(p int32) {
	m.places[p].older, m.places[p].newer = m.newest, none
	if m.newest != none {
		m.places[m.newest].newer = p
	} else {
		m.oldest = p
	}
	m.newest = p
}

func (m *memory) unlink(p int32) {
	newer, older := m.places[p].newer, m.places[p].older
	if newer != none {
		m.places[newer].older = older
	} else {
		m.newest = older
	}
	if older != none {
		m.places[older].newer = newer
	} else {
		m.oldest = newer
	}
}

// first returns the newest server of the set of p, none if it is empty.
func (m *memory) first(p int32) int32 {
	if i := m.places[p].members; i != none {
		return m.members[i].server
	}
	return none
}

func (m *memory) has(p, server int32) bool {
	i := m.places[p].members
	for i != none && m.members[i].server != server {
		i = m.members[i].next
	}
	return i != none
}

// insert adds a server to the set of p. Other addresses are forgotten to make
// room; if p alone fills the memory its set stays as it is.
func (m *memory) insert(p, server int32, now uint32) {
	for m.freeMember == none && len(m.members) == cap(m.members) {
		if m.oldest == p {
			return
		}
		m.drop(m.oldest)
	}
	i := m.freeMember
	if i != none {
		m.freeMember = m.members[i].next
	} else {
		i = int32(len(m.members))
		m.members = append(m.members, member{})
	}
	at := &m.places[p]
	m.members[i] = member{server, at.members}
	at.members, at.changed = i, now
	at.size++
}

// remove takes a server off the set of p.
func (m *memory) remove(p, server int32, now uint32) {
	at := &m.places[p].members
	for *at != none && m.members[*at].server != server {
		at = &m.members[*at].next
	}
	if i := *at; i != none {
		*at = m.members[i].next
		m.members[i].next, m.freeMember = m.freeMember, i
		m.places[p].size--
		m.places[p].changed = now
	}
}

// clear empties the set of p.
func (m *memory) clear(p int32) {
	for at := &m.places[p]; at.members != none; at.size-- {
		i := at.members
		at.members = m.members[i].next
		m.members[i].next, m.freeMember = m.freeMember, i
	}
}

// rename gives the servers new numbers; those that have none leave their sets.
func (m *memory) rename(numbers []int32) {
	for p := m.newest; p != none; p = m.places[p].older {
		for i := m.places[p].members; i != none; {
			next, server := m.members[i].next, m.members[i].server
			if numbers[server] == none {
				m.remove(p, server, m.places[p].changed)
			} else {
				m.members[i].server = numbers[server]
			}
			i = next
		}
	}
}
