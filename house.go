package lvx

import (
	"context"
	"time"

	"github.com/lvx-lb/lvx/dataplane"
)

// keepHouse does what has to be done now and then, and follows the network.
func (d *Director) keepHouse(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-d.network.wake:
			d.followNetwork(d.network.take())
		case <-second.C:
			d.everySecond(n)
			if err := d.forgetMarks(n%10 == 0); err != nil {
				d.log.Error("cannot stop steering for a mark rule", "error", err)
			}
		}
	}
}

func (d *Director) everySecond(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.roster.Warm(dataplane.Monotonic()())
	d.measure()
	d.collect()
	d.noteMisplaced()
	if n%2 == 0 {
		d.noteSilence()
	}
	if n%60 == 0 {
		d.meters.prune(d.set, d.roster.Servers())
		d.sweepHops()
	}
}

// collect forgets deleted servers whose last connection is gone, and what
// steering knows of them. Those that templates keep are only not steered.
func (d *Director) collect() {
	gone := d.roster.Collect()
	if len(gone) > 0 {
		d.each(func(w *worker) {
			for _, s := range gone {
				d.meters.retire(s.Service().Key, &w.Stats()[s.Slot])
			}
		})
	}
	for _, s := range gone {
		d.meters.forget(s)
		d.wanted.lookAt(s)
	}
	d.roster.Deleted(d.wanted.lookAt)
	if err := d.steer(); err != nil {
		d.log.Error("cannot stop steering for a server", "error", err)
	}
}
