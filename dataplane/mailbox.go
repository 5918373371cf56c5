package dataplane

import "sync/atomic"

// mailbox carries work from other goroutines to the owner of a worker, who
// does it between batches.
type mailbox struct {
	head atomic.Pointer[letter]
	wake func() // ends the worker's sleep; may be nil
}

type letter struct {
	work func()
	done chan struct{}
	next *letter
}

func (m *mailbox) init() {}

// post adds work and returns a channel that is closed when it is done.
func (m *mailbox) post(work func()) <-chan struct{} {
	l := &letter{work: work, done: make(chan struct{})}
	for {
		l.next = m.head.Load()
		if m.head.CompareAndSwap(l.next, l) {
			break
		}
	}
	if m.wake != nil {
		m.wake()
	}
	return l.done
}

// run does what has been posted, oldest first.
func (m *mailbox) run() {
	if m.head.Load() == nil {
		return
	}
	var oldest *letter
	for l := m.head.Swap(nil); l != nil; {
		l, oldest, l.next = l.next, l, oldest
	}
	for l := oldest; l != nil; l = l.next {
		l.work()
		close(l.done)
	}
}
