package lvx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/nic/xsk"
)

// ErrSending tells that a queue took a frame and did not send it.
var ErrSending = errors.New("a frame of full size was taken and not sent")

const (
	experimental   = 0x88b5 // EtherType for local experiments (IEEE 802)
	ethernetHeader = 14
)

// trial is one queue that has to prove that it sends: some drivers take frames
// and never do. Its frame is as large as the MTU allows and goes from the NIC
// to itself, so that a switch has no other port to hand it on to.
type trial struct {
	name  string
	queue nic.Queue
	mac   [6]byte
	mtu   int
	free  *[]uint64 // where the chunk comes from and goes back to
}

func (t *trial) send(pool *nic.Pool) {
	last := len(*t.free) - 1
	f := nic.Frame{Addr: (*t.free)[last] + nic.Headroom, Len: uint32(ethernetHeader + t.mtu)}
	*t.free = (*t.free)[:last]
	data := pool.Data(f)
	clear(data)
	copy(data, t.mac[:])
	copy(data[6:], t.mac[:])
	binary.BigEndian.PutUint16(data[12:], experimental)
	t.queue.Transmit([]nic.Frame{f})
}

// done reports whether the frame was sent.
func (t *trial) done() bool {
	var chunk [1]uint64
	t.queue.Kick()
	if t.queue.Complete(chunk[:]) == 0 {
		return false
	}
	*t.free = append(*t.free, chunk[0])
	return true
}

// unproved has all queues send, and returns those that have not done it when
// rest, called between two looks, has had enough. Their chunks come back by the
// completion ring, if ever.
func unproved(pool *nic.Pool, all []trial, rest func() bool) []trial {
	for i := range all {
		all[i].send(pool)
	}
	for left := all; ; {
		left = slices.DeleteFunc(left, func(t trial) bool { return t.done() })
		if len(left) == 0 || !rest() {
			return left
		}
	}
}

// prove has the queues of all NICs with a carrier send a frame, if workers send
// on them: each does so on its first one. The others need not be able to: a
// virtio-net never sends on the queues that it adds for XDP.
func (d *Director) prove(r *rings) error {
	const patience, step = time.Second, time.Millisecond
	var all []trial
	for i, n := range d.links.nics {
		l, err := d.mirror.Link(n.ifindex)
		if err != nil || !l.Carrier {
			continue
		}
		for q, s := range r.sockets[i][:len(r.free)] {
			all = append(all, trial{n.name, s, l.MAC, l.MTU, &r.free[q]})
		}
	}
	waited := time.Duration(0)
	left := unproved(&r.umem.Pool, all, func() bool {
		time.Sleep(step)
		waited += step
		return waited < patience
	})
	return doubt(r.mode, left, d.log)
}

// doubt says what follows from queues that did not prove themselves. Zero copy
// is not believed then. Copies are sent by the kernel, which may tell late.
func doubt(mode xsk.Mode, left []trial, log *slog.Logger) error {
	for _, t := range left {
		if mode == xsk.ZeroCopy {
			return fmt.Errorf("%s: %w", t.name, ErrSending)
		}
		log.Warn("a frame of full size was not sent within a second", "nic", t.name, "bytes", ethernetHeader+t.mtu)
	}
	return nil
}
