package scheduler

import "slices"

// rr takes the usable servers in turn, whatever their weights.
type rr struct {
	at  mark     // the last server taken
	ids []uint32 // the list that at was found in
}

func (r *rr) Pick(servers []Server, _ Key) int {
	i := r.at.find(servers)
	for range servers {
		if i++; i == len(servers) {
			i = 0
		}
		if servers[i].usable() {
			r.at = markOf(servers, i)
			return i
		}
	}
	return -1
}

// Update keeps the turn: servers that follow the last one taken stay next in
// line. If the last one taken is gone its predecessor takes its place.
func (r *rr) Update(servers []Server) {
	where := make(map[uint32]int, len(servers))
	for i := range servers {
		where[servers[i].ID] = i
	}
	r.at = r.survivor(where)
	r.ids = r.ids[:0]
	for i := range servers {
		r.ids = append(r.ids, servers[i].ID)
	}
}

// survivor returns the mark of the last server taken or, if that is gone, of
// the nearest before it that is not.
func (r *rr) survivor(where map[uint32]int) mark {
	if r.at == head {
		return head
	}
	if now, ok := where[r.at.id]; ok {
		return mark{now, r.at.id}
	}
	for i := slices.Index(r.ids, r.at.id); i >= 0; i-- {
		if now, ok := where[r.ids[i]]; ok {
			return mark{now, r.ids[i]}
		}
	}
	return head
}
