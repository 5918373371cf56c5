package dataplane

import (
	"slices"

	"github.com/lvx-lb/lvx/service"
)

// A server that begins to take connections, because it was added or its weight
// was 0, may get its weight little by little: a tenth at first, all of it when
// the time of the slow start is over. Weights are small, often 1, so while a
// server of a service warms up, the scheduler sees those of all its servers
// times ten. The schedulers that compare loads or take turns by weight choose
// as before then; to the others a weight is a number of places or of
// connections, or nothing, and they have no slow start.

const tenths = 10

// scalable are the schedulers that only know how weights compare.
var scalable = []string{"wrr", "wlc", "sed", "nq", "twos"}

// mostScaled is the highest weight that is multiplied; one above has tenths of
// its own.
const mostScaled = 1 << 24

// SlowStart sets how long a server takes to get its weight, 0 = no time. It
// comes before the first Apply.
func (r *Roster) SlowStart(d Time) { r.slow = d }

// Warm tells the time, and gives the servers that are in their slow start what
// is due to them. Apply goes by the last time told.
func (r *Roster) Warm(now Time) {
	if r.now = now; r.slow == 0 {
		return
	}
	for _, s := range r.services {
		if s.cold {
			r.warm(s)
		}
	}
}

func (r *Roster) warm(s *Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	times := r.scale(s, &s.spec)
	list, changed := slices.Clone(s.servers), false
	for i := range list {
		if weight := r.weight(r.slots[list[i].ID], times); weight != list[i].Weight {
			list[i].Weight, changed = weight, true
		}
	}
	if changed {
		s.scheduler.Update(list)
		s.servers = list
	}
}

// scale returns what all weights of a service are multiplied by, and notes
// whether one of its servers is in its slow start.
func (r *Roster) scale(s *Service, spec *service.Configured) int {
	s.cold = false
	if r.slow == 0 || !slices.Contains(scalable, spec.Scheduler) {
		return 1
	}
	heaviest := 0
	for _, v := range spec.Servers {
		srv := r.servers[serverKey{spec.Key, v.Address}]
		srv.warms = srv.warms && r.now-srv.began < r.slow
		s.cold = s.cold || srv.warms && v.Weight > 0
		heaviest = max(heaviest, v.Weight)
	}
	if !s.cold || heaviest > mostScaled {
		return 1
	}
	return tenths
}

// weight returns what the scheduler sees.
func (r *Roster) weight(srv *Server, times int) int {
	weight := srv.Address.Weight
	if weight == 0 || !srv.warms || !srv.service.cold {
		return weight * times
	}
	passed := max(1, int(tenths*(r.now-srv.began)/r.slow))
	return max(1, weight*times*passed/tenths)
}
