package nic

import (
	"sync/atomic"
	"time"
)

// Direction tells received frames from transmitted ones.
type Direction uint8

// Directions, seen from the worker.
const (
	Received Direction = iota
	Transmitted
)

// Copy is a frame as a Tee saw it.
type Copy struct {
	When      time.Time
	Data      []byte // the first bytes, up to the Tap's snap length
	Length    int    // of the whole frame
	NIC       int    // as given to NewTee
	Direction Direction
}

// Tap is a bounded ring of copies between one worker, whose Tees fill it, and
// one consumer. Neither waits for the other: what finds no slot is lost and
// counted.
type Tap struct {
	slots []copySlot
	bytes []byte
	snap  int
	lost  atomic.Uint64

	_        [64]byte // the two indices on cache lines of their own
	produced atomic.Uint32
	_        [60]byte
	consumed atomic.Uint32
	_        [60]byte
}

type copySlot struct {
	when        int64 // nanoseconds since 1970
	held        int32 // bytes in the slot
	length      uint32
	nic         int32
	transmitted bool
}

// NewTap returns a Tap that holds up to slots copies (rounded up to a power of
// two) of at most snap bytes.
func NewTap(slots, snap int) *Tap {
	n := 1
	for n < slots {
		n <<= 1
	}
	return &Tap{slots: make([]copySlot, n), bytes: make([]byte, n*snap), snap: snap}
}

// Lost returns how many frames found no slot.
func (t *Tap) Lost() uint64 { return t.lost.Load() }

// put copies frames into free slots and publishes them at once. The clock is
// read here, once a batch and only while a capture runs: a copy without its
// time is of little use.
func (t *Tap) put(pool *Pool, frames []Frame, nic int, direction Direction) {
	next := t.produced.Load()
	room := len(t.slots) - int(next-t.consumed.Load())
	if room < len(frames) {
		t.lost.Add(uint64(len(frames) - room))
		frames = frames[:room]
	}
	now := time.Now().UnixNano()
	for _, f := range frames {
		i := int(next) & (len(t.slots) - 1)
		held := pool.copyOut(t.bytes[i*t.snap:(i+1)*t.snap], f)
		t.slots[i] = copySlot{now, int32(held), f.Len, int32(nic), direction == Transmitted}
		next++
	}
	t.produced.Store(next)
}

// Drain calls f with every copy there is, in order, and returns how many. The
// Copy is f's only until f returns.
func (t *Tap) Drain(f func(*Copy)) int {
	next, end := t.consumed.Load(), t.produced.Load()
	n := int(end - next)
	for ; next != end; next++ {
		i := int(next) & (len(t.slots) - 1)
		s := &t.slots[i]
		c := Copy{
			When:   time.Unix(0, s.when),
			Data:   t.bytes[i*t.snap:][:s.held:s.held],
			Length: int(s.length),
			NIC:    int(s.nic),
		}
		if s.transmitted {
			c.Direction = Transmitted
		}
		f(&c)
		t.consumed.Store(next + 1)
	}
	return n
}
