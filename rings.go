package lvx

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/bpf"
	"github.com/lvx-lb/lvx/nic/xsk"
)

const (
	chunkBytes   = 4096 // zero copy on igb loses frames above 1,024 bytes with 2,048
	maxQueues    = 64
	driverChunks = 512 // a queue: what a driver may hold beside its rings
	workerChunks = 256
)

// rings are the sockets of a director over its UMEM, by NIC and queue.
type rings struct {
	mode    xsk.Mode
	umem    *xsk.UMEM
	sockets [][]*xsk.Socket
	free    [][]uint64 // by worker: chunks that no ring has
}

func (r *rings) generic() bool { return r.mode == xsk.Generic }

// finishes reports whether checksums may be left to a NIC. Only veth is trusted
// with it: kernels have sent such frames on other drivers as they were
// (virtio_net), and what a real NIC gets is finished by its sender as a rule.
func (r *rings) finishes(n *nicFacts) bool { return r.umem.Finishes && n.driver == "veth" }

// interrupts reports whether a NIC sends only when its driver has interrupted
// itself. igb does, with zero copy; that others moderate this interrupt was not
// seen yet.
func (r *rings) interrupts(n *nicFacts) bool { return r.mode == xsk.ZeroCopy && n.driver == "igb" }

// openRings finds the best mode that every queue of every NIC has, and binds
// them all in it: the second NIC of a shared UMEM cannot fall back alone.
func (d *Director) openRings() error {
	queues, err := d.queues()
	if err != nil {
		return err
	}
	if d.cfg.FDs != nil {
		return d.takeOver(d.cfg.FDs, queues)
	}
	modes, err := modesFor(d.cfg.Mode)
	if err != nil {
		return err
	}
	var refused []error
	for _, mode := range modes {
		if err = d.tryMode(mode, queues); err == nil {
			if mode == xsk.Generic && len(refused) > 0 {
				d.log.Warn("only generic XDP works, which is slow", "because", refused[len(refused)-1])
			}
			return nil
		}
		// No other mode helps.
		if errors.Is(err, bpf.ErrForeign) || errors.Is(err, xsk.ErrLocked) || errors.Is(err, unix.EPERM) {
			return explainKernel(err)
		}
		refused = append(refused, fmt.Errorf("%v: %w", mode, err))
	}
	err = explainKernel(fmt.Errorf("%w: %w", ErrMode, errors.Join(refused...)))
	if len(modes) == 1 {
		err = fmt.Errorf("%w; without a mode of your choice lvx takes the best that there is", err)
	}
	return err
}

// queues counts the queues of each NIC.
func (d *Director) queues() ([]int, error) {
	queues := make([]int, len(d.links.nics))
	for i, n := range d.links.nics {
		count, err := xsk.Queues(n.name)
		switch {
		case err != nil:
			return nil, err
		case count > maxQueues:
			return nil, fmt.Errorf("%w: %s has %d queues, at most %d%s", ErrNIC, n.name, count, maxQueues, resize(n.name, maxQueues))
		case count < d.cfg.Workers:
			return nil, fmt.Errorf("%w: %d workers need as many queues on every NIC, %s has %d%s",
				ErrNIC, d.cfg.Workers, n.name, count, resize(n.name, d.cfg.Workers))
		}
		queues[i] = count
	}
	return queues, nil
}

// resize says how a NIC gets so many queues.
func resize(nic string, queues int) string {
	if run := xsk.Resize(nic, queues); run != "" {
		return "; run: " + run
	}
	return ", and cannot have as many"
}

// differAt returns where two lists of equal length differ first, -1 nowhere.
func differAt(a, b []int) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func modesFor(name string) ([]xsk.Mode, error) {
	all := []xsk.Mode{xsk.ZeroCopy, xsk.Native, xsk.Generic}
	if name == "" || name == "auto" {
		return all, nil
	}
	for _, m := range all {
		if m.String() == name {
			return []xsk.Mode{m}, nil
		}
	}
	return nil, fmt.Errorf("%w: no mode %q; there are auto, zerocopy, native, generic", ErrMode, name)
}

// tryMode attaches and binds everything in one mode, or leaves nothing.
// Attached, steering passes all frames until it has keys. Queues are counted
// again afterwards: a virtio-net receives on those that it adds for XDP, too.
// Without a program it does not let go of a zero-copy socket on one of them.
func (d *Director) tryMode(mode xsk.Mode, before []int) (err error) {
	defer func() {
		if err != nil {
			for _, n := range d.links.nics {
				err = errors.Join(err, d.steering.Detach(n.ifindex))
			}
		}
	}()
	for _, n := range d.links.nics {
		if err := d.steering.Attach(n.ifindex, mode == xsk.Generic); err != nil {
			return explainNIC(n, err)
		}
	}
	d.awaitCarrier()
	queues, err := d.queues()
	if err != nil {
		return err
	}
	if at := differAt(queues, before); at >= 0 && mode == xsk.ZeroCopy {
		name := d.links.nics[at].name
		return fmt.Errorf("%w: %s has %d queues with XDP and %d without; give it all that it can have: ethtool -L %s combined",
			ErrNIC, name, queues[at], before[at], name)
	}
	for i, n := range d.links.nics {
		for q := range queues[i] {
			if err := xsk.Probe(n.ifindex, q, mode); err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
		}
	}
	r, err := bindAll(mode, d.links, queues, d.cfg)
	if err != nil {
		return err
	}
	if err := d.prove(r); err != nil {
		return errors.Join(err, r.close())
	}
	for i, n := range d.links.nics {
		for q, s := range r.sockets[i] {
			if err := d.steering.SetSocket(n.ifindex, q, s.FD()); err != nil {
				return errors.Join(err, r.close())
			}
		}
	}
	d.rings = r
	return nil
}

// bindAll opens a UMEM large enough that no full transmit ring can starve a
// fill ring, and a socket on every queue.
func bindAll(mode xsk.Mode, l *links, queues []int, cfg Config) (*rings, error) {
	size, total := cfg.Rings, cfg.Workers*workerChunks
	for _, n := range queues {
		total += n * (3*size + driverChunks)
	}
	total += total / 8 // what waits for hops or for the rest of a datagram
	umem, err := xsk.NewPool(total, chunkBytes, -1)
	if err != nil {
		return nil, err
	}
	umem.Finishes = mode != xsk.ZeroCopy
	r := &rings{mode: mode, umem: umem, sockets: make([][]*xsk.Socket, len(queues))}
	r.share(cfg.Workers)
	var first *xsk.Socket
	for i, n := range l.nics {
		for q := range queues[i] {
			free := &r.free[q%cfg.Workers]
			give := (*free)[len(*free)-size:]
			s, err := xsk.Open(umem, xsk.Config{
				Ifindex: n.ifindex, Queue: q, Mode: mode, Shared: first, Fill: give,
				RxSize: uint32(size), TxSize: uint32(size), FillSize: uint32(size), CompletionSize: uint32(size),
			})
			if err != nil {
				return nil, errors.Join(err, r.close())
			}
			*free = (*free)[:len(*free)-size]
			r.sockets[i] = append(r.sockets[i], s)
			if first == nil {
				first = s
			}
		}
	}
	return r, nil
}

// share divides the chunks among workers.
func (r *rings) share(workers int) {
	chunks := r.umem.Chunks()
	r.free = make([][]uint64, workers)
	for i, chunk := range chunks {
		w := i * workers / len(chunks)
		r.free[w] = append(r.free[w], chunk)
	}
}

func (r *rings) close() error {
	var errs []error
	for _, queues := range r.sockets {
		for _, s := range queues {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, r.umem.Close())...)
}

// of returns the sockets of a worker, by NIC; only it may touch them.
func (r *rings) of(worker, workers int, each func(*xsk.Socket)) {
	for _, queues := range r.sockets {
		for q, s := range queues {
			if q%workers == worker {
				each(s)
			}
		}
	}
}

// awaitCarrier waits for links that attaching has reset (igb: 3-4 s).
func (d *Director) awaitCarrier() {
	const patience, step = 10 * time.Second, 10 * time.Millisecond
	for waited := time.Duration(0); waited < patience; waited += step {
		down := false
		for _, n := range d.links.nics {
			l, err := d.mirror.Link(n.ifindex)
			down = down || err == nil && l.Up && !l.Carrier && n.carrier
		}
		if !down {
			return
		}
		time.Sleep(step)
	}
	d.log.Warn("a link has not come back after XDP was attached; going on without it")
}

// drain waits until everything queued has been sent, but not for ever: a peer
// may never take it.
func (d *Director) drain() {
	const patience, step = time.Second, 5 * time.Millisecond
	for waited := time.Duration(0); waited < patience; waited += step {
		left := 0
		d.each(func(w *worker) {
			d.rings.of(w.number, len(d.workers), func(s *xsk.Socket) { left += s.Unsent() })
		})
		if left == 0 {
			return
		}
		time.Sleep(step)
	}
}
