package dataplane

import "sync/atomic"

// lane is a ring with one producer and one consumer. What is pushed can be
// taken after publish, which the producer calls once a batch: two cache lines
// change hands for a whole batch.
type lane[T any] struct {
	slots []T // a power of two

	_    [64]byte
	next uint32 // the producer's: pushed, not all published
	seen uint32 // the producer's: taken, as it last saw it

	_   [64]byte
	put atomic.Uint32

	_     [64]byte
	taken atomic.Uint32
	_     [64]byte
}

func newLane[T any](size int) *lane[T] {
	n := 1
	for n < size {
		n <<= 1
	}
	return &lane[T]{slots: make([]T, n)}
}

// push reports whether there was room.
func (l *lane[T]) push(x T) bool {
	if l.next-l.seen == uint32(len(l.slots)) {
		if l.seen = l.taken.Load(); l.next-l.seen == uint32(len(l.slots)) {
			return false
		}
	}
	l.slots[l.next&uint32(len(l.slots)-1)] = x
	l.next++
	return true
}

// publish reports whether there is something new to take.
func (l *lane[T]) publish() bool {
	if l.put.Load() == l.next {
		return false
	}
	l.put.Store(l.next)
	return true
}

// take moves up to len(out) items to out.
func (l *lane[T]) take(out []T) int {
	at := l.taken.Load()
	n := min(int(l.put.Load()-at), len(out))
	for i := range n {
		out[i] = l.slots[(at+uint32(i))&uint32(len(l.slots)-1)]
	}
	if n > 0 {
		l.taken.Store(at + uint32(n))
	}
	return n
}

// len is how many items wait; the consumer may ask.
func (l *lane[T]) len() int { return int(l.put.Load() - l.taken.Load()) }
