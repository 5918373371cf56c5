package conntrack

// Walk calls f for the connections in the next n slots and returns where to go
// on, None at the end. f may remove the connection it is given.
func (t *Table) Walk(from Index, n int, f func(Index, *Record)) Index {
	end := min(uint64(len(t.slots)), uint64(from)+uint64(max(0, n)))
	for i := uint64(from); i < end; i++ {
		if r := &t.slots[i]; !r.free() && r.key&keyAlias == 0 {
			f(Index(i), r)
		}
	}
	if end >= uint64(len(t.slots)) {
		return None
	}
	return Index(end)
}

// Recount adds up the connections by server slot: what the caller's counts
// should be. Servers beyond the slices are left out, and what is OnePacket.
func (t *Table) Recount(active, inactive []int) {
	t.Walk(0, len(t.slots), func(_ Index, r *Record) {
		counts := inactive
		if r.State.Active() {
			counts = active
		}
		if int(r.Server) < len(counts) && r.State != OnePacket {
			counts[r.Server]++
		}
	})
}
