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
			if err := d.forgetMarks(n%5 == 0); err != nil {
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
	d.noteLarge()
	if n%2 == 0 {
		d.noteSilence()
	}
	if n%60 == 0 {
		d.meters.prune(d.set, d.roster.Servers())
		d.sweepHops()
	}
}

// noteLarge names a NIC by which a frame came that no chunk has room for, once,
// and what to do.
func (d *Director) noteLarge() {
	ifindex, err := d.steering.Large()
	if err != nil || ifindex == 0 {
		return
	}
	for i := range d.links.nics {
		n := &d.links.nics[i]
		if n.ifindex != ifindex || n.large {
			continue
		}
		n.large = true
		remedy := "ethtool -K " + n.name + " gro off lro off"
		if n.driver == "veth" {
			remedy += ", and tso off gso off at its other end"
		}
		d.log.Warn("a frame was dropped that is longer than a chunk has room for; counted as steer.too-large from now on",
			"nic", n.name, "remedy", remedy)
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
