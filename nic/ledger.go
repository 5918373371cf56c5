package nic

import (
	"fmt"
	"sync"
)

// Ledger keeps book of every chunk of a Pool for tests: a chunk is at any time
// in exactly one place, the hands of the worker or one queue. Watch wraps a
// queue so that every move is checked; Check compares what should be in the
// worker's hands with what is.
type Ledger struct {
	mu    sync.Mutex
	pool  *Pool
	place []place // by number of the chunk
	first error
}

// place is where a chunk is: in nobody's queue it is in the worker's hands.
type place struct {
	queue *watched
	sent  bool // queued for transmit there, else filled
}

func (p place) String() string {
	switch {
	case p.queue == nil:
		return "the worker's hands"
	case p.sent:
		return p.queue.name + " transmit"
	}
	return p.queue.name + " fill"
}

// NewLedger opens a book in which the worker holds all chunks of pool.
func NewLedger(pool *Pool) *Ledger {
	return &Ledger{pool: pool, place: make([]place, pool.Chunks())}
}

// Watch returns q with every move of a chunk booked under name. filled are
// chunks that it was given before.
func (l *Ledger) Watch(q Queue, name string, filled ...uint64) Queue {
	w := &watched{Queue: q, ledger: l, name: name}
	for _, c := range filled {
		l.move(w, "fill", c, place{}, place{queue: w})
	}
	return w
}

// Err returns the first move that could not be.
func (l *Ledger) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// Check returns an error unless hands, taken together, are exactly the chunks
// that no queue holds, each of them once, and no move before was wrong.
func (l *Ledger) Check(hands ...[]uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first != nil {
		return l.first
	}
	seen := make([]bool, len(l.place))
	for _, hand := range hands {
		for _, addr := range hand {
			i, err := l.number(addr)
			switch {
			case err != nil:
				return err
			case seen[i]:
				return fmt.Errorf("chunk %#x is in the worker's hands twice", addr)
			case l.place[i] != place{}:
				return fmt.Errorf("chunk %#x is in the worker's hands and in %v", addr, l.place[i])
			}
			seen[i] = true
		}
	}
	for i, p := range l.place {
		if (p == place{}) && !seen[i] {
			return fmt.Errorf("chunk %#x is lost by the worker", uint64(i)*uint64(l.pool.Chunk))
		}
	}
	return nil
}

// Held returns how many chunks the worker holds, and how many the queues hold
// to receive into and to transmit.
func (l *Ledger) Held() (worker, filled, sent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.place {
		switch {
		case p.queue == nil:
			worker++
		case p.sent:
			sent++
		default:
			filled++
		}
	}
	return worker, filled, sent
}

func (l *Ledger) number(addr uint64) (int, error) {
	i := int(addr / uint64(l.pool.Chunk))
	if i >= len(l.place) {
		return 0, fmt.Errorf("address %#x lies outside the pool", addr)
	}
	return i, nil
}

// move books one chunk that w moved from one place to another.
func (l *Ledger) move(w *watched, verb string, addr uint64, from, to place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, err := l.number(addr)
	if err == nil && l.place[i] != from {
		err = fmt.Errorf("%s %s of chunk %#x from %v, but it is in %v", w.name, verb, addr, from, l.place[i])
	}
	if err != nil {
		l.refuse(err)
		return
	}
	l.place[i] = to
}

// wantStart refuses a completed address inside a chunk.
func (l *Ledger) wantStart(w *watched, addr uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if addr != l.pool.Start(addr) {
		l.refuse(fmt.Errorf("%s complete of %#x, which is no chunk start", w.name, addr))
	}
}

func (l *Ledger) refuse(err error) {
	if l.first == nil {
		l.first = err
	}
}

// watched is a queue whose moves are booked.
type watched struct {
	Queue
	ledger *Ledger
	name   string
}

func (w *watched) Receive(frames []Frame) int {
	n := w.Queue.Receive(frames)
	for _, f := range frames[:n] {
		w.ledger.move(w, "receive", f.Addr, place{queue: w}, place{})
	}
	return n
}

func (w *watched) Transmit(frames []Frame) int {
	n := w.Queue.Transmit(frames)
	for _, f := range frames[:n] {
		w.ledger.move(w, "transmit", f.Addr, place{}, place{queue: w, sent: true})
	}
	return n
}

func (w *watched) Fill(chunks []uint64) int {
	n := w.Queue.Fill(chunks)
	for _, c := range chunks[:n] {
		w.ledger.move(w, "fill", c, place{}, place{queue: w})
	}
	return n
}

func (w *watched) Complete(chunks []uint64) int {
	n := w.Queue.Complete(chunks)
	for _, c := range chunks[:n] {
		w.ledger.move(w, "complete", c, place{queue: w, sent: true}, place{})
		w.ledger.wantStart(w, c)
	}
	return n
}
