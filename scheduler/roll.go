package scheduler

import (
	"net/netip"
	"slices"
)

// none is no index.
const none = int32(-1)

// maxAbsent is how many servers that have left the list are known at most.
const maxAbsent = 1024

// roll numbers the servers by address and port, so that one which leaves the
// list and comes back is the same one, as it is in IPVS while anything still
// refers to it.
type roll struct {
	seen    []Server // by number, as last seen in the list
	places  []int32  // in the list, by number
	numbers []int32  // by place in the list
}

// find returns the place in the list of the server with number n.
func (r *roll) find(n int32, servers []Server) int {
	if n < 0 || r.places[n] < 0 {
		return -1
	}
	return mark{int(r.places[n]), r.seen[n].ID}.find(servers)
}

// number returns the number of the server at place i, none if the list is not
// the one of the last update.
func (r *roll) number(i int, servers []Server) int32 {
	if i >= len(r.numbers) || r.seen[r.numbers[i]].ID != servers[i].ID {
		return none
	}
	return r.numbers[i]
}

// update takes the new list. It returns the new numbers by the old ones if
// those have changed because too many servers have come and gone.
func (r *roll) update(servers []Server) (renamed []int32) {
	known := make(map[netip.AddrPort]int32, len(r.seen))
	for n := range r.seen {
		known[address(&r.seen[n])] = int32(n)
		r.places[n] = none
	}
	r.numbers = r.numbers[:0]
	for i := range servers {
		n, ok := known[address(&servers[i])]
		if !ok {
			n = int32(len(r.seen))
			r.seen, r.places = append(r.seen, Server{}), append(r.places, none)
		}
		r.seen[n], r.places[n] = servers[i], int32(i)
		r.numbers = append(r.numbers, n)
	}
	if len(r.seen) > len(servers)+maxAbsent {
		return r.forget(servers)
	}
	return nil
}

// forget forgets all servers that are not in the list.
func (r *roll) forget(servers []Server) (renamed []int32) {
	renamed = slices.Clone(r.places)
	r.seen = slices.Clone(servers)
	r.places, r.numbers = make([]int32, len(servers)), make([]int32, len(servers))
	for i := range servers {
		r.places[i], r.numbers[i] = int32(i), int32(i)
	}
	return renamed
}

func address(s *Server) netip.AddrPort { return netip.AddrPortFrom(s.Addr, s.Port) }
