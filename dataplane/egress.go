package dataplane

import "github.com/lvx-lb/lvx/nic"

const outSize = 512

// egress collects what leaves on one NIC in a round.
type egress struct {
	queues   Queues
	filled   []int // chunks given to each queue's fill ring and not yet received
	frames   [outSize]nic.Frame
	n        int
	pending  bool // kick due even without frames: the fill ring was topped up
	finishes bool // checksums may be left to the NIC
}

// send queues f on NIC n; flush gives it to the kernel.
func (w *Worker) send(n int, f nic.Frame) {
	e := &w.nics[n]
	if uint(e.n) >= outSize {
		w.flush(n)
	}
	e.add(f)
}

func (e *egress) add(f nic.Frame) {
	e.frames[uint(e.n)%outSize] = f
	e.n++
}

func (w *Worker) flushAll() {
	for n := range w.nics {
		if w.nics[n].n > 0 || w.nics[n].pending {
			w.flush(n)
		}
	}
}

// flush transmits what was collected for NIC n. A ring that is full is kicked
// once; what finds no room then is dropped: waiting would cost the other
// direction its rate.
func (w *Worker) flush(n int) {
	e := &w.nics[n]
	q := e.queues[0]
	w.complete(q)
	sent := q.Transmit(e.frames[:e.n])
	q.Kick()
	if sent < e.n {
		w.complete(q)
		sent += q.Transmit(e.frames[sent:e.n])
		q.Kick()
	}
	for _, f := range e.frames[sent:e.n] {
		w.drop(f.Addr, TxFull)
	}
	w.Counters.Transmitted += uint64(sent)
	for i, other := range e.queues {
		if i > 0 && e.pending {
			other.Kick()
		}
	}
	e.n, e.pending = 0, false
}
