package scheduler

import "math/bits"

// slots is the size of mh's table: a prime, IPVS's table index 12 of kernel
// configurations.
const slots = 4093

// The most turns in a row that a server gets while the table is filled: half
// the bits of the table index.
const turnBits = 12 / 2

// The keys of the two hashes, both words alike, fixed so that all directors
// agree.
const (
	offsetKey = 2654435761
	skipKey   = 2654446892
)

// mh is Maglev hashing: the client's address finds a slot in a table, the slot
// names the server. When servers come and go almost all slots keep theirs.
//
// A server edited to weight 0 keeps its slots, and the clients of those are
// refused (or, with mh-fallback, go elsewhere); a server added with weight 0
// has none. So does IPVS.
type mh struct {
	fallback bool // look for another server if the slot's is not usable
	byPort   bool // hash the client's port too

	table [slots]uint16 // 1 + index of the server, 0 = empty
	list  []placed
}

// placed is a server with the weight that it has slots for.
type placed struct {
	id     uint32
	weight int
}

func newMaglev(o *options) Scheduler {
	return &mh{fallback: o.flags&fallbackFlag != 0, byPort: o.flags&portFlag != 0}
}

func (m *mh) Pick(servers []Server, k Key) int {
	sum := fold(k.Src)
	if m.byPort {
		sum += uint32(k.SrcPort)
	}
	slot := sipHash13(sum, offsetKey, offsetKey) % slots
	i := m.at(slot, servers)
	if i >= 0 && servers[i].usable() {
		return i
	}
	if !m.fallback || m.table[slot] == 0 || !anyUsable(servers) {
		return -1
	}
	for tries := range uint32(slots) {
		offset := (slot + tries) % slots
		i := m.at(sipHash13(sum+offset, offsetKey, offsetKey)%slots, servers)
		if i >= 0 && servers[i].usable() {
			return i
		}
	}
	return -1
}

// at returns the index in servers of the slot's server, -1 if it has none.
func (m *mh) at(slot uint32, servers []Server) int {
	i := int(m.table[slot]) - 1
	if i < 0 {
		return -1
	}
	return mark{i, m.list[i].id}.find(servers)
}

func anyUsable(servers []Server) bool {
	for i := range servers {
		if servers[i].usable() {
			return true
		}
	}
	return false
}

// Update fills the table anew.
func (m *mh) Update(servers []Server) {
	m.list = m.place(servers)
	m.fill(m.preferences(servers))
}

// place returns the servers with the last weight above 0 that each had.
func (m *mh) place(servers []Server) []placed {
	before := make(map[uint32]int, len(m.list))
	for _, p := range m.list {
		before[p.id] = p.weight
	}
	list := make([]placed, len(servers))
	for i := range servers {
		list[i] = placed{servers[i].ID, servers[i].Weight}
		if list[i].weight == 0 {
			list[i].weight = max(before[list[i].id], servers[i].LastWeight)
		}
	}
	return list
}

// preference is the order in which a server wants the slots: next, next+skip,
// next+2·skip, ... modulo slots. It gets as many slots as turns, then the next
// server chooses.
type preference struct {
	index      int
	next, skip uint32
	turns      int
}

func (m *mh) preferences(servers []Server) []preference {
	divisor, heaviest := 0, 0
	for _, p := range m.list {
		if p.weight > 0 {
			divisor = gcd(p.weight, divisor)
			heaviest = max(heaviest, p.weight)
		}
	}
	if heaviest == 0 {
		return nil
	}
	shift := max(bits.Len(uint(heaviest/divisor))-turnBits, 0)
	var all []preference
	for i, p := range m.list {
		// A table has no room for more servers than slots.
		if p.weight <= 0 || len(all) == slots || i > 0xfffe {
			continue
		}
		sum := fold(servers[i].Addr.As16()) + uint32(servers[i].Port)
		all = append(all, preference{
			index: i,
			next:  sipHash13(sum, offsetKey, offsetKey) % slots,
			skip:  sipHash13(sum, skipKey, skipKey)%(slots-1) + 1,
			turns: max(p.weight/divisor>>shift, 1),
		})
	}
	return all
}

// fill gives every slot to a server, the servers choosing in turn.
func (m *mh) fill(all []preference) {
	m.table = [slots]uint16{}
	if len(all) == 0 {
		return
	}
	for free := slots; ; {
		for i := range all {
			p := &all[i]
			for range p.turns {
				// skip is not 0 and slots is a prime: a free slot is found.
				for m.table[p.next] != 0 {
					p.next = (p.next + p.skip) % slots
				}
				m.table[p.next] = uint16(p.index + 1)
				if free--; free == 0 {
					return
				}
			}
		}
	}
}
