package scheduler

// wrr gives each server connections in proportion to its weight. It walks the
// list again and again, each time with a lower level, and takes the servers
// whose weight reaches the level; after level 1 it starts from the top.
//
// Levels are 1, 1+step, 1+2·step, ... top, step being the largest number that
// divides all weights.
type wrr struct {
	at    mark // the last server taken in this walk
	level int
	step  int
	top   int // 0 = no server has a weight
}

func (w *wrr) Pick(servers []Server, _ Key) int {
	if w.top == 0 {
		return -1
	}
	at := w.at.find(servers)
	if i := reaching(w.level, servers, at+1); i >= 0 {
		w.at = markOf(servers, i)
		return i
	}
	heaviest := 0
	for i := range servers {
		if servers[i].usable() {
			heaviest = max(heaviest, servers[i].Weight)
		}
	}
	if heaviest == 0 {
		// IPVS comes back to where it was if it began in the middle of the
		// last walk, else it stops before a new round.
		if w.level > 1 || at < 0 {
			w.at, w.level = head, w.top
		}
		return -1
	}
	// Levels above the heaviest server would take nobody: skip them at once,
	// there can be 2^31 of them.
	limit := w.level - w.step
	if limit <= 0 {
		limit = w.top
	}
	w.level = (min(limit, heaviest)-1)/w.step*w.step + 1
	i := reaching(w.level, servers, 0)
	w.at = markOf(servers, i)
	return i
}

// reaching returns the first usable server from index from on whose weight
// reaches level.
func reaching(level int, servers []Server, from int) int {
	for i := from; i < len(servers); i++ {
		if servers[i].Weight >= level && servers[i].usable() {
			return i
		}
	}
	return -1
}

// Update starts a walk anew but keeps its level as far as the new weights
// have it. A first server sets the level to its top, which is 1, so a service
// filled server by server begins with one walk over all of them.
func (w *wrr) Update(servers []Server) {
	heaviest, divisor := 0, 0
	for i := range servers {
		if weight := servers[i].Weight; weight > 0 {
			heaviest = max(heaviest, weight)
			divisor = gcd(weight, divisor)
		}
	}
	w.at = head
	w.step = max(divisor, 1)
	w.top = heaviest - (w.step - 1)
	switch {
	case w.level > w.top || w.level == 0:
		w.level = w.top
	case w.step > 1:
		w.level = w.level/w.step*w.step + 1
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
