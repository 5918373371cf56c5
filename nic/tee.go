package nic

import (
	"context"
	"io"
	"sync/atomic"
	"time"
)

// Tee is a Queue that can copy what passes, both ways, into a Tap. While it
// does not, it costs one atomic load a batch.
type Tee struct {
	Queue
	pool *Pool
	nic  int
	tap  atomic.Pointer[Tap]
}

// NewTee wraps q. nic is what its copies are marked with, say the interface
// index.
func NewTee(q Queue, pool *Pool, nic int) *Tee { return &Tee{Queue: q, pool: pool, nic: nic} }

// CopyTo starts copying into tap, which may be shared by the Tees of one
// worker and of no other; nil stops it. It may be called from any goroutine.
// A batch on its way may still reach the former Tap.
func (t *Tee) CopyTo(tap *Tap) { t.tap.Store(tap) }

// Receive implements Queue; frames are copied before the worker changes them.
func (t *Tee) Receive(frames []Frame) int {
	n := t.Queue.Receive(frames)
	if tap := t.tap.Load(); tap != nil && n > 0 {
		tap.put(t.pool, frames[:n], t.nic, Received)
	}
	return n
}

// Transmit implements Queue. Frames that the queue took are copied after it:
// their chunks are not used again before Complete, which this goroutine calls.
func (t *Tee) Transmit(frames []Frame) int {
	n := t.Queue.Transmit(frames)
	if tap := t.tap.Load(); tap != nil && n > 0 {
		tap.put(t.pool, frames[:n], t.nic, Transmitted)
	}
	return n
}

// recordPause is how long Record sleeps when all Taps are empty.
const recordPause = 10 * time.Millisecond

// Record writes what arrives in taps to w as a pcap stream, until ctx ends or
// w refuses. It is the consumer of all taps.
func Record(ctx context.Context, w io.Writer, taps ...*Tap) error {
	out, err := newCaptureWriter(w)
	write := func(c *Copy) {
		if err == nil {
			err = out.write(c.When, c.Length, c.Data)
		}
	}
	for err == nil {
		ending := ctx.Err() != nil
		n := 0
		for _, tap := range taps {
			n += tap.Drain(write)
		}
		if n > 0 {
			continue
		}
		if err = out.flush(); err == nil && ending {
			return nil
		}
		pause(ctx, recordPause)
	}
	return err
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
