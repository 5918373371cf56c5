package dataplane

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
)

// Time is nanoseconds on a clock that never goes back. The fast path reads no
// clock: the caller passes it in.
type Time int64

// Second is one second of Time.
const Second = Time(1e9)

func (t Time) tick() conntrack.Tick { return conntrack.Tick(t / (Second / 10)) }

// Next is where a route leads.
type Next struct {
	Link LinkID
	Via  packet.Addr // next address: a gateway, or the destination itself
	MTU  int         // of the route, bytes of IP packet

	Fixed bool // the same whatever the source, the link and the hash

	Refused Refusal // where it leads nowhere
}

// Refusal is why no route leads to an address.
type Refusal uint8

// The refusals, by the types of `ip route`.
const (
	NoWay       Refusal = iota
	Unreachable         // the host is
	Prohibited
	Blackhole // and nobody hears of it
)

// Routes finds next addresses, of packets that came in over a link or were made
// Here. Next is called by workers when a connection begins or routes have
// changed; it must not block or allocate.
type Routes interface {
	Next(dst, src packet.Addr, in LinkID, hash uint32) (Next, bool)
}

// Upward takes frames for the kernel. PassUp copies what it needs and returns
// false when it has no room; it must not block or allocate.
type Upward interface {
	PassUp(now Time, nic int, frame []byte, partial bool) bool
}

// Queues are the rings of one NIC that a worker owns. Frames leave by the
// first.
type Queues []nic.Queue

// Setup is what a Worker is made of.
type Setup struct {
	Pool   *nic.Pool
	Chunks []uint64 // free chunks of the Pool that are the worker's
	NICs   []Queues
	Fill   int                      // chunks to keep in each fill ring
	Filled func(nic, queue int) int // of these, chunks that a queue has already; nil = none
	Table  *conntrack.Table
	Hops   *Hops
	Routes Routes
	Upward Upward // nil: frames for the kernel are dropped
	Limits Limits
	Seed   uint64
	// Finishes tells which NICs finish a transport checksum that is left to
	// them (nic.FinishChecksum); nil: none does.
	Finishes func(nic int) bool
	// Nap waits like EpollWait without letting go of the processor, and
	// returns -1 when it was disturbed; nil: nobody naps.
	Nap func(epoll int, events []unix.EpollEvent, most time.Duration) int
}

// Limits bound what a worker holds back. Zero values take the defaults.
type Limits struct {
	WaitPerHop int // frames waiting for one hop, default 3; in its first moment a batch
	Waiting    int // frames waiting for hops in all, default 1/32 of the chunks
	Fragments  int // frames of incomplete datagrams, default 1/16 of the chunks
}

// ErrSetup tells that a Setup lacks something.
var ErrSetup = errors.New("incomplete setup")

// Stat counts what one server did.
type Stat struct{ Conns, InPkts, InBytes, OutPkts, OutBytes uint64 }

func (s *Stat) count(dir conntrack.Direction, bytes uint64) {
	if dir == conntrack.ToServer {
		s.InPkts++
		s.InBytes += bytes
	} else {
		s.OutPkts++
		s.OutBytes += bytes
	}
}

// Add adds what another worker has counted for the same server.
func (s *Stat) Add(o *Stat) {
	s.Conns += o.Conns
	s.InPkts += o.InPkts
	s.InBytes += o.InBytes
	s.OutPkts += o.OutPkts
	s.OutBytes += o.OutBytes
}

// Worker owns some queues and the connections that meet in them. All its
// methods but Do and Wake belong to one goroutine.
type Worker struct {
	Counters Counters

	pool   *nic.Pool
	nics   []egress
	fill   int
	free   []uint64
	total  int
	table  *conntrack.Table
	config *Config
	hops   *Hops
	routes Routes
	upward Upward
	stats  []Stat

	now     Time
	tick    conntrack.Tick
	batch   Batch
	whole   Batch // one reassembled datagram
	waiting waiting
	frags   fragments
	limiter *limiter
	probes  *probes
	claims  bucket // new hops
	ipID    uint32
	scratch [2048]byte
	piece   packet.Packet // of a packet that is recut
	built   packet.Packet // that reply sends
	ported  packet.Rewrite
	sides   []side   // by conntrack.Index, of connections that are helped
	ways    []way    // to servers, by slot
	control []uint32 // by conntrack.Index, the template of what is controlled

	refused    Refusal          // by the routes, last
	spent      []conntrack.Name // of datagrams in hand whose answers nobody awaits
	defence    defence
	deletions  uint32 // of servers, that dropOrphans knows of
	orphans    sweep  // for connections of deleted servers
	masterless int    // the next template to look at for it, -1 = none
	severing   sweep  // and of those that are given up
	overdue    bool   // more connections have ended than a round takes

	crew    *Crew // nil: w works alone
	self    int
	heir    int // owner of the whole datagram in hand
	bequest how // as what it gets the pieces

	mailbox mailbox
	sleeper sleeper
}

// NewWorker checks s and returns a worker that forwards nothing until Adopt.
func NewWorker(s Setup) (*Worker, error) {
	if s.Pool == nil || s.Table == nil || s.Hops == nil || s.Routes == nil || len(s.NICs) == 0 {
		return nil, fmt.Errorf("make worker: %w", ErrSetup)
	}
	w := &Worker{
		pool: s.Pool, fill: s.Fill, free: append(make([]uint64, 0, s.Pool.Chunks()), s.Chunks...), total: len(s.Chunks),
		table: s.Table, hops: s.Hops, routes: s.Routes, upward: s.Upward, ipID: uint32(s.Seed), masterless: -1,
		nics: make([]egress, len(s.NICs)), config: &Config{index: newServiceIndex(nil), own: newAddrSet(nil), deletions: new(atomic.Uint32)},
	}
	w.config.joinLinks()
	for i, q := range s.NICs {
		if len(q) == 0 {
			return nil, fmt.Errorf("make worker: NIC %d has no queue: %w", i, ErrSetup)
		}
		w.nics[i].queues, w.nics[i].filled = q, make([]int, len(q))
		w.nics[i].finishes = s.Finishes != nil && s.Finishes(i)
		for k := range q {
			if s.Filled != nil {
				w.nics[i].filled[k] = s.Filled(i, k)
			}
		}
	}
	w.waiting.init(s.Limits, w.total)
	w.frags.init(s.Limits, w.total, s.Seed)
	w.limiter, w.probes = newLimiter(s.Seed), newProbes()
	w.table.Idle = w.whenIdle
	w.frags.wait(true)
	w.spent = make([]conntrack.Name, 0, 2*BatchSize) // a batch, and the datagrams that it makes whole
	w.claims = bucket{rate: 100, burst: 100}
	w.sleeper.nap = s.Nap
	return w, nil
}

// Table returns the connections of w, for work that its owner does between
// batches.
func (w *Worker) Table() *conntrack.Table { return w.table }

// Stats returns the counters of each slot.
func (w *Worker) Stats() []Stat { return w.stats }

// Held returns how many frames wait for a hop or for the rest of their
// datagram.
func (w *Worker) Held() int { return w.waiting.len() + w.frags.len() }

// Free returns how many frames lie in no ring and in nobody's hands.
func (w *Worker) Free() int { return len(w.free) }

// Round looks once at every queue and at what is due at time now. It reports
// whether it moved any frame.
func (w *Worker) Round(now Time) bool {
	w.setTime(now)
	w.mailbox.run()
	w.waiting.look(w)
	moved := false
	for n := range w.nics {
		for q, queue := range w.nics[n].queues {
			got := queue.Receive(w.batch.frames[:])
			if got > 0 {
				moved = true
				w.nics[n].filled[q] -= got
				w.Counters.Received += uint64(got)
				w.batch.received(got, n)
				w.Process(&w.batch)
				w.settle(&w.batch)
			}
			w.refill(n, q)
		}
		w.flushAll()
	}
	if w.crew != nil {
		moved = w.takeHanded() || moved
	}
	w.expire()
	w.flushAll()
	if w.crew != nil {
		w.publishHanded()
	}
	w.Counters.Rounds++
	if !moved {
		w.Counters.EmptyRounds++
	}
	return moved
}

func (w *Worker) setTime(now Time) {
	w.now, w.tick = now, now.tick()
}

// settle gives every frame of the batch to where its verdict says.
func (w *Worker) settle(b *Batch) {
	if b.rest == 0 {
		return // all wait in an egress
	}
	for i := range b.n {
		switch b.verdicts[i] {
		case Transmit, Hold:
			// already in an egress or among the held
		case HandOver:
			w.Counters.Handed++
		case PassUp:
			w.passUp(b, i)
		default:
			w.drop(b.frames[i].Addr, b.reasons[i])
		}
	}
}

func (w *Worker) passUp(b *Batch, i int) {
	f := b.frames[i]
	partial := w.config.isPartial(b.link[i])
	if w.upward == nil || !w.upward.PassUp(w.now, int(b.nics[i]), w.pool.Data(f), partial) {
		w.drop(f.Addr, PassUpFull)
		return
	}
	w.Counters.PassedUp++
	w.recycle(f.Addr)
}

// drop counts a frame as lost and takes its memory back.
func (w *Worker) drop(addr uint64, why Reason) {
	w.Counters.Dropped[why]++
	w.recycle(addr)
}

func (w *Worker) recycle(addr uint64) {
	w.free = append(w.free, addr&^uint64(w.pool.Chunk-1))
}

// alloc takes a free chunk for a frame that w builds. Some are left for the
// fill rings.
func (w *Worker) alloc() (chunk uint64, ok bool) {
	n := len(w.free)
	if n == 0 {
		w.reclaim()
		if n = len(w.free); n == 0 {
			return 0, false
		}
	}
	chunk, w.free = w.free[n-1], w.free[:n-1]
	return chunk, true
}

// reclaim takes back what has been sent on every NIC.
func (w *Worker) reclaim() {
	for n := range w.nics {
		for _, q := range w.nics[n].queues {
			w.complete(q)
		}
	}
}

func (w *Worker) complete(q nic.Queue) {
	for {
		room := w.free[len(w.free):cap(w.free)]
		n := q.Complete(room)
		w.free = w.free[:len(w.free)+n]
		if n == 0 || n < len(room) {
			return
		}
	}
}

// refill tops up the fill ring of a queue.
func (w *Worker) refill(n, q int) {
	e := &w.nics[n]
	missing := w.fill - e.filled[q]
	if missing <= 0 {
		return
	}
	if len(w.free) < missing {
		w.reclaim()
	}
	give := w.free[max(0, len(w.free)-missing):]
	got := e.queues[q].Fill(give)
	if got == 0 {
		return
	}
	// Fill takes from the front: what it left over stays free.
	left := copy(give, give[got:])
	w.free = w.free[:len(w.free)-len(give)+left]
	e.filled[q] += got
	e.pending = true
}
