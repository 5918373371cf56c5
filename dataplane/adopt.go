package dataplane

import "github.com/lvx-lb/lvx/service"

// Adopt makes w follow c from the next batch on. stats has room for at least
// the slots of c: w copies its counters into it and uses it from now on; nil
// says that it has room enough.
func (w *Worker) Adopt(c *Config, stats []Stat) {
	if stats != nil {
		copy(stats, w.stats)
		w.stats = stats
	}
	changed := c.Settings != w.config.Settings
	if c.routeGen != w.config.routeGen {
		clear(w.ways)
	}
	if n := len(c.servers) - len(w.ways); n > 0 {
		w.ways = append(w.ways, make([]way, n)...)
	}
	w.config, w.table.Pairs = c, c.pairs
	w.table.SetAliases(c.Deviations.Has(service.OtherClientPorts))
	w.frags.wait(c.Deviations.Has(service.ShortFragmentWait))
	if changed {
		w.gauge()
	}
	if c.templates != nil && w.control == nil {
		w.control = make([]uint32, w.table.Slots())
	}
	w.takeSides(c)
}
