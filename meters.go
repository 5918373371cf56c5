package lvx

import (
	"maps"
	"time"

	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/service"
)

// serverStats adds up the counters of all workers, by slot.
func (d *Director) serverStats() []dataplane.Stat {
	sums := make([]dataplane.Stat, d.roster.Slots())
	d.each(func(w *worker) {
		for i, s := range w.Stats() {
			if i < len(sums) {
				sums[i].Add(&s)
			}
		}
	})
	return sums
}

// meters are the counters and rates of services and servers.
type meters struct {
	servers  map[uint32]*service.Estimator // by slot
	services map[service.Key]*service.Estimator
	retired  map[service.Key]service.Stats // of servers that are gone
	ticks    int
}

func newMeters() *meters {
	return &meters{map[uint32]*service.Estimator{}, map[service.Key]*service.Estimator{}, map[service.Key]service.Stats{}, 0}
}

// measure moves the estimators on; IPVS does so every two seconds, unless
// run_estimation is off.
func (d *Director) measure() {
	if d.set.Settings().RunEstimation == 0 {
		return
	}
	if d.meters.ticks++; d.meters.ticks%int(service.EstimatorStep/time.Second) != 0 {
		return
	}
	d.meters.step(d.roster.Servers(), d.serverStats())
}

func (m *meters) step(servers []*dataplane.Server, stats []dataplane.Stat) {
	for _, s := range servers {
		estimatorOf(m.servers, s.Slot).Step(statOf(stats, s))
	}
	for k, s := range m.totals(servers, stats) {
		estimatorOf(m.services, k).Step(s)
	}
}

// totals adds up what the servers of each service have counted.
func (m *meters) totals(servers []*dataplane.Server, stats []dataplane.Stat) map[service.Key]service.Stats {
	sums := maps.Clone(m.retired)
	for _, s := range servers {
		k := s.Service().Key
		sums[k] = plus(sums[k], statOf(stats, s))
	}
	return sums
}

func statOf(stats []dataplane.Stat, s *dataplane.Server) service.Stats {
	if int(s.Slot) >= len(stats) {
		return service.Stats{}
	}
	return statsOf(&stats[s.Slot])
}

func estimatorOf[K comparable](m map[K]*service.Estimator, k K) *service.Estimator {
	e := m[k]
	if e == nil {
		e = &service.Estimator{}
		m[k] = e
	}
	return e
}

func statsOf(s *dataplane.Stat) service.Stats {
	return service.Stats{Conns: s.Conns, InPkts: s.InPkts, OutPkts: s.OutPkts, InBytes: s.InBytes, OutBytes: s.OutBytes}
}

func plus(a, b service.Stats) service.Stats {
	a.Conns += b.Conns
	a.InPkts += b.InPkts
	a.OutPkts += b.OutPkts
	a.InBytes += b.InBytes
	a.OutBytes += b.OutBytes
	return a
}

// retire adds the counters of a server that is gone to those that its service
// keeps, and clears them for the next server in the slot.
func (m *meters) retire(k service.Key, s *dataplane.Stat) {
	m.retired[k] = plus(m.retired[k], statsOf(s))
	*s = dataplane.Stat{}
}

// prune forgets the services that are gone, with their servers.
func (m *meters) prune(set *service.Set, servers []*dataplane.Server) {
	left := map[service.Key]bool{}
	for _, s := range servers {
		left[s.Service().Key] = true
	}
	for _, v := range set.Services() {
		left[v.Key] = true
	}
	maps.DeleteFunc(m.services, func(k service.Key, _ *service.Estimator) bool { return !left[k] })
	maps.DeleteFunc(m.retired, func(k service.Key, _ service.Stats) bool { return !left[k] })
}

func (m *meters) forget(s *dataplane.Server) { delete(m.servers, s.Slot) }

// zero begins counting anew for the named services; the zero Key names all.
func (d *Director) zero(keys map[service.Key]bool) {
	servers := d.roster.Servers
	if !keys[service.Key{}] {
		servers = func() []*dataplane.Server { return d.serversOf(keys) }
	}
	if list := servers(); len(list) > 0 || len(d.meters.retired) > 0 {
		d.meters.zero(keys, list, d.serverStats())
	}
}

// serversOf returns the servers of some services, deleted ones among them.
func (d *Director) serversOf(keys map[service.Key]bool) (list []*dataplane.Server) {
	for k := range keys {
		v, _ := d.set.Find(k)
		for _, spec := range v.Servers {
			if s := d.roster.Find(k, spec.Address); !s.Deleted() {
				list = append(list, s)
			}
		}
	}
	d.roster.Deleted(func(s *dataplane.Server) {
		if keys[s.Service().Key] {
			list = append(list, s)
		}
	})
	return list
}

// zero begins counting anew for the named services; the zero Key names all.
func (m *meters) zero(keys map[service.Key]bool, servers []*dataplane.Server, stats []dataplane.Stat) {
	all := keys[service.Key{}]
	for key, now := range m.totals(servers, stats) {
		if all || keys[key] {
			estimatorOf(m.services, key).ZeroAt(now)
		}
	}
	for _, s := range servers {
		if all || keys[s.Service().Key] {
			estimatorOf(m.servers, s.Slot).ZeroAt(statOf(stats, s))
		}
	}
}
