// Package bare forwards between two queues and only swaps the MAC addresses:
// the limit that a director is measured against, and the shortest example of
// how a worker treats its queues and chunks.
package bare

import "github.com/lvx-lb/lvx/nic"

// Batch is how many frames are treated together.
const Batch = 64

// Forwarder sends what one queue receives out of the other, both ways.
type Forwarder struct {
	Forwarded, Dropped uint64 // frames since the beginning

	pool   *nic.Pool
	queues [2]nic.Queue
	free   []uint64
	frames [Batch]nic.Frame
}

// New returns a Forwarder between a and b. free are the chunks of pool that no
// queue holds; they are the Forwarder's.
func New(pool *nic.Pool, a, b nic.Queue, free []uint64) *Forwarder {
	f := &Forwarder{pool: pool, queues: [2]nic.Queue{a, b}, free: make([]uint64, 0, pool.Chunks())}
	f.free = append(f.free, free...)
	return f
}

// Step treats one batch each way and returns how many frames it received; 0
// means that sleeping is in order.
func (f *Forwarder) Step() int {
	return f.pass(f.queues[0], f.queues[1]) + f.pass(f.queues[1], f.queues[0])
}

// Free returns the chunks in the Forwarder's hands.
func (f *Forwarder) Free() []uint64 { return f.free }

func (f *Forwarder) pass(in, out nic.Queue) int {
	f.collect(out)
	f.refill(in)
	n := in.Receive(f.frames[:])
	frames := f.frames[:n]
	for i := range frames {
		swap(f.pool.Data(frames[i]))
	}
	sent := out.Transmit(frames)
	if sent < n {
		out.Kick()
		sent += out.Transmit(frames[sent:])
	}
	for _, dropped := range frames[sent:] {
		f.free = append(f.free, dropped.Addr)
	}
	f.Forwarded += uint64(sent)
	f.Dropped += uint64(n - sent)
	out.Kick()
	return n
}

// collect takes back what q has sent: room in its completion ring is what the
// next kick needs.
func (f *Forwarder) collect(q nic.Queue) {
	end := len(f.free)
	n := q.Complete(f.free[end:cap(f.free)])
	f.free = f.free[:end+n]
}

// refill gives q chunks to receive into, the last returned first: their bytes
// are still in the cache.
func (f *Forwarder) refill(q nic.Queue) {
	start := max(0, len(f.free)-Batch)
	n := q.Fill(f.free[start:])
	copy(f.free[start:], f.free[start+n:])
	f.free = f.free[:len(f.free)-n]
}

// swap exchanges source and destination MAC address.
func swap(frame []byte) {
	if len(frame) < 12 {
		return
	}
	macs := (*[12]byte)(frame)
	dst := [6]byte(macs[:6])
	copy(macs[:6], macs[6:])
	copy(macs[6:], dst[:])
}
