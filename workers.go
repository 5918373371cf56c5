package lvx

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/bpf"
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/nic/xsk"
)

// worker is a dataplane.Worker with what the director keeps beside it.
type worker struct {
	*dataplane.Worker
	number int
	upward *upward
	tees   []*nic.Tee
	slots  int // of servers that it has room to count for
}

// room returns counters for so many slots, nil if there are enough of them.
func (w *worker) room(slots int) []dataplane.Stat {
	if slots <= w.slots {
		return nil
	}
	w.slots = slots + slots/4
	return make([]dataplane.Stat, w.slots)
}

// openWorkers makes the workers, each with its part of the connections, of
// the chunks and of the queues of every NIC.
func (d *Director) openWorkers() (err error) {
	if d.rings.generic() {
		// A frame injected at its NIC would meet generic steering again.
		d.way, err = bpf.NewWayBackVeth(d.cfg.Name, d.cfg.Name+"p")
		d.settings.veth = true
	} else {
		d.way, err = bpf.NewWayBack()
		if d.settings.note.Veth { // of a director that crashed
			err = errors.Join(err, bpf.RemoveVeth(d.cfg.Name))
		}
	}
	if errors.Is(err, bpf.ErrName) {
		err = fmt.Errorf("%w; give the director another name (--name)", err)
	}
	if err != nil {
		return err
	}
	seed := rand.Uint64()
	n := d.cfg.Workers
	all := make([]*dataplane.Worker, n)
	for i := range n {
		w, err := d.openWorker(i, (d.cfg.Conns+n-1)/n, seed)
		if err != nil {
			return err
		}
		d.workers, all[i] = append(d.workers, w), w.Worker
	}
	if n > 1 {
		if d.crew, err = dataplane.NewCrew(all, seed); err != nil {
			return err
		}
	}
	d.vips = newVIPs(d.mirror, d.cfg, d.links, d.settings.noteVIPs)
	d.lookAround()
	d.publish()
	return nil
}

func (d *Director) openWorker(i, conns int, seed uint64) (*worker, error) {
	memory, _, err := d.steering.NewTable(fmt.Sprintf("lvx_conns%d", i), conntrack.Bytes(conns))
	if errors.Is(err, unix.ENOMEM) {
		return nil, fmt.Errorf("a table for %d connections takes %d MB; give it fewer (--conns): %w", d.cfg.Conns, conntrack.Bytes(d.cfg.Conns)>>20, unix.ENOMEM)
	}
	if err != nil {
		return nil, err
	}
	table, err := conntrack.New(conntrack.Config{
		Capacity: conns, Memory: memory, Seed: seed, Timeouts: conntrack.DefaultTimeouts(),
	})
	if err != nil {
		return nil, err
	}
	w := &worker{number: i, upward: newUpward(d.links, d.way, d.log)}
	queues := make([]dataplane.Queues, len(d.links.nics))
	filled := make([][]int, len(queues))
	for n := range d.links.nics {
		for q, s := range d.rings.sockets[n] {
			if q%d.cfg.Workers == i {
				tee := nic.NewTee(s, &d.rings.umem.Pool, n)
				w.tees = append(w.tees, tee)
				queues[n], filled[n] = append(queues[n], tee), append(filled[n], s.Filled())
			}
		}
	}
	w.Worker, err = dataplane.NewWorker(dataplane.Setup{
		Pool: &d.rings.umem.Pool, Chunks: d.rings.free[i], NICs: queues, Fill: d.cfg.Rings, Filled: func(nic, queue int) int { return filled[nic][queue] },
		Table: table, Hops: d.hops, Routes: &routes{d.mirror, d.links}, Upward: w.upward, Seed: seed,
		Nap: d.nap(), Finishes: func(nic int) bool { return d.rings.finishes(&d.links.nics[nic]) },
	})
	return w, err
}

// nap is how workers wait a moment, if there are processors for the others
// meanwhile.
func (d *Director) nap() func(int, []unix.EpollEvent, time.Duration) int {
	if runtime.GOMAXPROCS(0) <= d.cfg.Workers {
		return nil
	}
	return xsk.Nap
}

// each has every worker do something between two batches, one after the other.
func (d *Director) each(do func(w *worker)) {
	for _, w := range d.workers {
		w.Do(func() { do(w) })
	}
}
