package xsk

import (
	"sync/atomic"
	"unsafe"

	"github.com/lvx-lb/lvx/nic"
	"golang.org/x/sys/unix"
)

// ring is one of the four rings shared with the kernel (net/xdp/xsk_queue.h).
// Each side writes one index and reads the other: the index that we write is
// kept in own, the last value seen of the kernel's in theirs, so the shared
// cache lines are touched once a batch.
//
// The atomic store of our index releases the slots before it, the atomic load
// of theirs acquires the slots that it names.
type ring[T nic.Frame | uint64] struct {
	own, theirs uint32
	mask        uint32
	slots       []T
	producer    *atomic.Uint32
	consumer    *atomic.Uint32
	flags       *atomic.Uint32
	memory      []byte
}

// mapRing maps the ring of fd at pgoff. The indices go on where the last owner
// of an inherited socket left them.
func mapRing[T nic.Frame | uint64](r *ring[T], fd int, pgoff int64, off unix.XDPRingOffset, size uint32) error {
	var slot T
	length := int(off.Desc) + int(size)*int(unsafe.Sizeof(slot))
	memory, err := unix.Mmap(fd, pgoff, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return err
	}
	r.over(memory, off, size)
	return nil
}

// over lays r over memory.
func (r *ring[T]) over(memory []byte, off unix.XDPRingOffset, size uint32) {
	r.memory = memory
	r.mask = size - 1
	r.producer = (*atomic.Uint32)(unsafe.Pointer(&memory[off.Producer]))
	r.consumer = (*atomic.Uint32)(unsafe.Pointer(&memory[off.Consumer]))
	r.flags = (*atomic.Uint32)(unsafe.Pointer(&memory[off.Flags]))
	r.slots = unsafe.Slice((*T)(unsafe.Pointer(&memory[off.Desc])), size)
}

// produce makes us the producer of r.
func (r *ring[T]) produce() { r.own, r.theirs = r.producer.Load(), r.consumer.Load() }

// consume makes us the consumer of r.
func (r *ring[T]) consume() { r.own, r.theirs = r.consumer.Load(), r.producer.Load() }

// put produces as many of items as there is room for.
func (r *ring[T]) put(items []T) int {
	room := int(uint32(len(r.slots)) - (r.own - r.theirs))
	if room < len(items) {
		r.theirs = r.consumer.Load()
		room = int(uint32(len(r.slots)) - (r.own - r.theirs))
	}
	n := min(len(items), room)
	if n <= 0 {
		return 0
	}
	done := copy(r.slots[r.own&r.mask:], items[:n])
	copy(r.slots, items[done:n])
	r.own += uint32(n)
	r.producer.Store(r.own)
	return n
}

// take consumes as many items as there are, up to len(items).
func (r *ring[T]) take(items []T) int {
	ready := int(r.theirs - r.own)
	if ready < len(items) {
		r.theirs = r.producer.Load()
		ready = int(r.theirs - r.own)
	}
	n := min(len(items), ready)
	if n <= 0 {
		return 0
	}
	done := copy(items[:n], r.slots[r.own&r.mask:])
	copy(items[done:n], r.slots)
	r.own += uint32(n)
	r.consumer.Store(r.own)
	return n
}

// waiting is how much of what we produced the kernel has not consumed yet. It
// writes its index late, so waiting may be too large, never too small.
func (r *ring[T]) waiting() int { return int(r.own - r.consumer.Load()) }

// wantsKick reports whether the kernel asked to be told of new entries.
func (r *ring[T]) wantsKick() bool { return r.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0 }

// unmap gives the ring back. What remains is a full ring of no slots, so that
// a late call finds no room and nothing to take.
func (r *ring[T]) unmap() {
	if r.memory == nil {
		return
	}
	unix.Munmap(r.memory)
	*r = ring[T]{producer: new(atomic.Uint32), consumer: new(atomic.Uint32), flags: new(atomic.Uint32)}
}
