package dataplane

import (
	"sync"
	"sync/atomic"
)

// mailbox carries work from other goroutines to the owner of a worker, who
// does it between batches.
type mailbox struct {
	head atomic.Pointer[letter]

	mu   sync.Mutex // guards open; never taken in a round
	open bool       // somebody runs the worker
}

type letter struct {
	work func()
	done chan struct{}
	next *letter
}

// post adds work; done is closed when it was done.
func (m *mailbox) post(work func()) (done <-chan struct{}) {
	l := &letter{work: work, done: make(chan struct{})}
	for {
		l.next = m.head.Load()
		if m.head.CompareAndSwap(l.next, l) {
			return l.done
		}
	}
}

// waits reports whether there is work.
func (m *mailbox) waits() bool { return m.head.Load() != nil }

// run does what has been posted, oldest first.
func (m *mailbox) run() {
	if !m.waits() {
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

// Do has the owner of w do work between two batches, and waits until it is
// done. Nobody runs w: it is done at once. The work must be short; it may
// allocate.
func (w *Worker) Do(work func()) {
	w.mailbox.mu.Lock()
	if !w.mailbox.open {
		defer w.mailbox.mu.Unlock()
		work()
		return
	}
	done := w.mailbox.post(work)
	w.mailbox.mu.Unlock()
	w.Wake()
	<-done
}
