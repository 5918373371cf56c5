package lvx

import (
	"errors"
	"fmt"

	"github.com/lvx-lb/lvx/bpf"
	"github.com/lvx-lb/lvx/nic/xsk"
)

// ErrFDs tells that given file descriptors do not fit the configuration.
var ErrFDs = errors.New("given file descriptors do not fit")

// FDs are the file descriptors of a Director, by which another process can go
// on with its sockets, frames and steering: after a crash the kernel keeps
// them as long as somebody holds them. Connections begin anew.
type FDs struct {
	UMEM     int
	Chunks   int    // of the UMEM
	Finishes bool   // the UMEM's sockets finish checksums
	Mode     string // that the sockets are bound in
	Sockets  map[string][]int
	Steering bpf.FDs
}

// FDs returns the descriptors of d. They stay d's: pass duplicates.
func (d *Director) FDs() FDs {
	f := FDs{
		UMEM: d.rings.umem.FD(), Chunks: d.rings.umem.Pool.Chunks(), Finishes: d.rings.umem.Finishes, Mode: d.rings.mode.String(),
		Sockets: map[string][]int{}, Steering: d.steering.FDs(),
	}
	for i, n := range d.links.nics {
		for _, s := range d.rings.sockets[i] {
			f.Sockets[n.name] = append(f.Sockets[n.name], s.FD())
		}
	}
	return f
}

// takeOver makes the rings of descriptors that were given.
func (d *Director) takeOver(f *FDs, queues []int) error {
	modes, err := modesFor(f.Mode)
	if err != nil || len(modes) != 1 {
		return fmt.Errorf("%w: mode %q", ErrFDs, f.Mode)
	}
	// What the keys say of services that are no more is forgotten; Run tells
	// steering the present ones.
	if err := d.steering.Clear(); err != nil {
		return err
	}
	umem, err := xsk.NewPool(f.Chunks, chunkBytes, f.UMEM)
	if err != nil {
		return err
	}
	umem.Finishes = f.Finishes
	r := &rings{mode: modes[0], umem: umem, sockets: make([][]*xsk.Socket, len(queues))}
	for i, n := range d.links.nics {
		if err := r.takeSockets(i, n, f.Sockets[n.name], queues[i], d.cfg.Rings); err != nil {
			return errors.Join(err, r.close())
		}
	}
	r.share(d.cfg.Workers)
	r.recover(d.cfg.Workers)
	d.rings = r
	return nil
}

func (r *rings) takeSockets(i int, n nicFacts, fds []int, queues, size int) error {
	if len(fds) != queues {
		return fmt.Errorf("%w: %d sockets for %d queues of %s", ErrFDs, len(fds), queues, n.name)
	}
	for q, fd := range fds {
		s, err := xsk.Open(r.umem, xsk.Config{
			Ifindex: n.ifindex, Queue: q, Mode: r.mode, Given: fd,
			RxSize: uint32(size), TxSize: uint32(size), FillSize: uint32(size), CompletionSize: uint32(size),
		})
		if err != nil {
			return err
		}
		r.sockets[i] = append(r.sockets[i], s)
	}
	return nil
}

// recover finds out which chunks are free: those in no ring. If the kernel
// holds some that nobody can see, none is taken for free: a frame must never
// be used twice. They come back with the traffic.
func (r *rings) recover(workers int) {
	used := map[uint64]bool{}
	hidden := 0
	for _, queues := range r.sockets {
		for _, s := range queues {
			hidden += s.Chunks(func(chunk uint64) { used[chunk] = true })
		}
	}
	for w := range workers {
		var free []uint64
		for _, chunk := range r.free[w] {
			if hidden == 0 && !used[chunk] {
				free = append(free, chunk)
			}
		}
		r.free[w] = free
	}
}

// inherited returns the steering to go on with, if there is one.
func (d *Director) inherited() bpf.FDs {
	if d.cfg.FDs == nil {
		return bpf.FDs{}
	}
	return d.cfg.FDs.Steering
}
