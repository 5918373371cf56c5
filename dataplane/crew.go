package dataplane

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/rss"
)

// handSlots bounds how many frames may be on their way from one worker to
// another.
const handSlots = 1024

// ErrCrew tells that workers cannot work together.
var ErrCrew = errors.New("workers do not fit together")

// Crew are workers that share the traffic of a director. Every connection has
// one owner, found from its client endpoint, which NAT leaves as it is in
// both directions. A frame that arrives at another worker is handed over as a
// descriptor. Its chunk stays there, and another one goes back at once: what a
// worker has to receive into and to send from never depends on the others'
// rings.
type Crew struct {
	workers []*Worker
	seed    uint64
	placed  atomic.Pointer[rss.Placement] // nil: NICs place packets anyhow
	hand    [][]*lane[handed]             // from, to
	back    [][]*lane[uint64]
	taken   [][BatchSize]handed // by each worker
	owed    [][]int             // by each worker: chunks, to whom
	limiter limiter
}

// handed is a frame on its way to the worker that owns its connection, 16
// bytes.
type handed struct {
	addr uint64
	len  uint32
	nic  uint8
	how  how
}

// how tells the owner what the sender has found out.
type how uint8

const (
	asReceived      how = iota
	toServer            // it is no answer: look for a connection by its source only
	asPiece             // a fragment: its datagram is put together here
	asPieceToServer     // a fragment of a datagram that is no answer
)

func (h how) isPiece() bool { return h >= asPiece }

// NewCrew joins workers, which must not run yet.
func NewCrew(workers []*Worker, seed uint64) (*Crew, error) {
	c := &Crew{workers: workers, seed: seed}
	for _, w := range workers {
		if w.pool != workers[0].pool || len(w.nics) != len(workers[0].nics) {
			return nil, fmt.Errorf("join %d workers: %w", len(workers), ErrCrew)
		}
	}
	c.taken = make([][BatchSize]handed, len(workers))
	c.limiter.init(seed)
	for range workers {
		hand, back := make([]*lane[handed], len(workers)), make([]*lane[uint64], len(workers))
		for to := range workers {
			hand[to], back[to] = newLane[handed](handSlots), newLane[uint64](handSlots)
		}
		c.hand, c.back, c.owed = append(c.hand, hand), append(c.back, back), append(c.owed, make([]int, len(workers), len(workers)+16)) // no line with another
	}
	for i, w := range workers {
		w.crew, w.self = c, i
		w.table.Owns = func(client packet.Endpoint) bool { return c.owner(client) == i }
		w.limiter = &c.limiter
		w.ipID += uint32(i) * (1 << 31 / uint32(len(workers)) * 2) // no two make the same
		w.probes.rate.rate = max(1, w.probes.rate.rate/int64(len(workers)))
		w.claims.rate, w.claims.burst = max(1, w.claims.rate/int64(len(workers))), max(1, w.claims.burst/int64(len(workers)))
	}
	return c, nil
}

// Place tells where the NICs place packets, nil if anywhere. Connections that
// there are would lose their owners.
func (c *Crew) Place(p *rss.Placement) { c.placed.Store(p) }

// owner returns the worker of a connection. The protocol is left out, so that
// what belongs together under several protocols stays together.
func (c *Crew) owner(client packet.Endpoint) int {
	if p := c.placed.Load(); p != nil {
		return p.Owner(client)
	}
	a := client.Addr
	hi, lo := bits.Mul64(a.Hi<<1^a.Lo^c.seed, a.Hi^uint64(client.Port)<<32^0x9e3779b97f4a7c15)
	hi, _ = bits.Mul64(hi^lo, uint64(len(c.workers)))
	return int(hi)
}

// gatherer returns the worker that puts a datagram together.
func (c *Crew) gatherer(p *packet.Packet) int {
	both := packet.Addr{Hi: p.Src.Hi ^ p.Dst.Hi, Lo: p.Src.Lo ^ p.Dst.Lo}
	return c.owner(packet.Endpoint{Addr: both, Port: uint16(p.FragID ^ p.FragID>>16)})
}

// handOver gives packet i to the worker to. It reports whether that is
// somebody else; the packet is done here then.
func (w *Worker) handOver(b *Batch, i, to int, how how) bool {
	if to == w.self {
		return false
	}
	b.hash[i] = 0 // its line of this table is nobody's business
	if how == asReceived && b.kinds[i] == kindFlow && !b.whole && w.crew.placed.Load() != nil {
		w.Counters.Misplaced++
	}
	if b.whole && !how.isPiece() {
		w.heir, w.bequest = to, asPiece // the pieces go there
		if how == toServer {
			w.bequest = asPieceToServer
		}
		b.finish(i, HandOver, Unexplained)
		return true
	}
	if w.crew.hand[w.self][to].push(handed{b.frames[i].Addr, b.frames[i].Len, b.nics[i], how}) {
		b.finish(i, HandOver, Unexplained)
	} else {
		b.finish(i, Drop, HandFull)
	}
	return true
}

// takeHanded treats what other workers have handed over, and takes back the
// chunks that are due for what w has handed to them.
func (w *Worker) takeHanded() (moved bool) {
	w.takeBack()
	taken := w.crew.taken[w.self][:]
	for from := range w.crew.workers {
		n := w.crew.hand[from][w.self].take(taken)
		if n == 0 {
			continue
		}
		b := &w.batch
		b.n, moved = n, true
		for i := range n {
			x := &taken[i]
			b.frames[i], b.nics[i], b.how[i] = nic.Frame{Addr: x.addr, Len: x.len}, x.nic, x.how
		}
		w.Counters.Taken += uint64(n)
		w.crew.owed[w.self][from] += n
		w.Process(b)
		w.settle(b)
	}
	return moved
}

// takeBack takes chunks for what was handed over.
func (w *Worker) takeBack() {
	for from := range w.crew.workers {
		room := w.free[len(w.free):cap(w.free)]
		w.free = w.free[:len(w.free)+w.crew.back[from][w.self].take(room)]
	}
}

// payBack gives a free chunk for every frame that was taken, as far as there
// are any.
func (w *Worker) payBack() {
	for to, owed := range w.crew.owed[w.self] {
		if owed > len(w.free) {
			w.reclaim()
		}
		n := 0
		for n < min(owed, len(w.free)) && w.crew.back[w.self][to].push(w.free[len(w.free)-1-n]) {
			n++
		}
		w.free = w.free[:len(w.free)-n]
		w.crew.owed[w.self][to] -= n
	}
}

// publishHanded lets the others see what was handed to them, and wakes those
// who sleep.
func (w *Worker) publishHanded() {
	w.payBack()
	for to, other := range w.crew.workers {
		handed := w.crew.hand[w.self][to].publish()
		if w.crew.back[w.self][to].publish() || handed {
			other.Wake()
		}
	}
}

// hasHanded reports whether something waits for w.
func (w *Worker) hasHanded() bool {
	if w.crew == nil {
		return false
	}
	for from := range w.crew.workers {
		if w.crew.hand[from][w.self].len() > 0 || w.crew.back[from][w.self].len() > 0 {
			return true
		}
	}
	return false
}

// Settle has the workers treat what is still under way between them. It is for
// the end: nobody may run them, and what arrives at their queues stays there.
func (c *Crew) Settle(now Time) {
	for again := true; again; {
		again = false
		for _, w := range c.workers {
			w.setTime(now)
			again = w.takeHanded() || again
			w.flushAll()
			w.publishHanded()
		}
	}
	for _, w := range c.workers {
		w.takeBack()
	}
}
