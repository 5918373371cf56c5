package scheduler

// heaviest takes the usable server with the highest weight, of equals the
// newest: fo. With spill it passes over servers that have more active
// connections than weight: ovf.
type heaviest struct{ spill bool }

func (h heaviest) Pick(servers []Server, _ Key) int {
	best := -1
	for i := range servers {
		s := &servers[i]
		if !s.usable() || h.spill && s.crowded() {
			continue
		}
		if best < 0 || s.Weight > servers[best].Weight {
			best = i
		}
	}
	return best
}

func (heaviest) Update([]Server) {}

// crowded reports whether the server has more active connections than weight.
func (s *Server) crowded() bool { return int(s.Counts.Active.Load()) > s.Weight }
