package nic

import "sync"

// NewPool returns a Pool in ordinary memory, for the doubles of this package.
// chunk must be a power of two above Headroom.
func NewPool(chunks int, chunk uint32) *Pool {
	return &Pool{Bytes: make([]byte, chunks*int(chunk)), Chunk: chunk}
}

// Start returns the first address of the chunk that addr lies in.
func (p *Pool) Start(addr uint64) uint64 { return addr &^ uint64(p.Chunk-1) }

// Rings are the sizes of a queue's four rings, rounded up to powers of two;
// zero is 2048, the size of AF_XDP examples.
type Rings struct{ Receive, Transmit, Fill, Completion int }

func (r Rings) orDefault() Rings {
	for _, n := range []*int{&r.Receive, &r.Transmit, &r.Fill, &r.Completion} {
		if *n <= 0 {
			*n = 2048
		}
	}
	return r
}

// Memory is a Queue without a NIC: a test injects frames at its far end and
// looks at those that were sent. It keeps the rules of AF_XDP in copy mode:
// a frame arrives only where a chunk was filled, nothing leaves before Kick,
// nothing leaves without room in the completion ring, a NIC that is down keeps
// what was queued, and checksums that are left to it are finished.
//
// The far end (Inject, Sent, SetDown, ...) may be another goroutine.
type Memory struct {
	mu         sync.Mutex
	pool       *Pool
	fill       fifo[uint64]
	receive    fifo[Frame]
	transmit   fifo[Frame]
	completion fifo[uint64]
	stats      Stats
	down       bool
	discard    bool
	wake       func()
	sent       []byte // the bytes of the sent frames, one after the other
	ends       []int  // where each of them ends
	count      uint64
}

// NewMemory returns a queue over pool. All its rings are empty.
func NewMemory(pool *Pool, rings Rings) *Memory {
	r := rings.orDefault()
	return &Memory{
		pool:       pool,
		fill:       newFifo[uint64](r.Fill),
		receive:    newFifo[Frame](r.Receive),
		transmit:   newFifo[Frame](r.Transmit),
		completion: newFifo[uint64](r.Completion),
	}
}

// Inject lets a frame arrive. It is false where a NIC would have lost it: the
// NIC is down, no chunk is filled, the receive ring is full or the chunk too
// small; Stats counts which.
func (m *Memory) Inject(frame []byte) bool {
	m.mu.Lock()
	ok := m.arrive(frame)
	wake := m.wake
	m.mu.Unlock()
	if ok && wake != nil {
		wake()
	}
	return ok
}

func (m *Memory) arrive(frame []byte) bool {
	switch {
	case m.down, len(frame) > int(m.pool.Chunk)-Headroom:
		m.stats.RxDropped++
		return false
	case m.receive.room() == 0:
		m.stats.RxRingFull++
		return false
	}
	chunk, ok := m.fill.pop()
	if !ok {
		m.stats.FillEmpty++
		return false
	}
	f := Frame{Addr: chunk + Headroom, Len: uint32(len(frame))}
	copy(m.pool.Data(f), frame)
	return m.receive.push(f)
}

// Sent returns copies of the frames that left since the last call, in order.
func (m *Memory) Sent() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	frames := make([][]byte, 0, len(m.ends))
	start := 0
	for _, end := range m.ends {
		frames = append(frames, append([]byte(nil), m.sent[start:end]...))
		start = end
	}
	m.sent, m.ends = m.sent[:0], m.ends[:0]
	return frames
}

// SentCount returns how many frames left since the beginning.
func (m *Memory) SentCount() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

// Discard makes sent frames only counted, for benchmarks.
func (m *Memory) Discard(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.discard = on
}

// SetDown takes the NIC down or up. What was queued stays queued.
func (m *Memory) SetDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// OnInject has f called after every frame that arrived, from the goroutine
// that injected it, so that a sleeping worker can be woken.
func (m *Memory) OnInject(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wake = f
}

// Queued returns how many frames and chunks lie in each ring.
func (m *Memory) Queued() Rings {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Rings{m.receive.len(), m.transmit.len(), m.fill.len(), m.completion.len()}
}

// Receive implements Queue.
func (m *Memory) Receive(frames []Frame) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.receive.take(frames)
}

// Transmit implements Queue.
func (m *Memory) Transmit(frames []Frame) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.transmit.put(frames)
}

// Fill implements Queue.
func (m *Memory) Fill(chunks []uint64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := min(len(chunks), m.fill.room())
	for _, c := range chunks[:n] {
		m.fill.push(m.pool.Start(c))
	}
	return n
}

// Complete implements Queue.
func (m *Memory) Complete(chunks []uint64) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.completion.take(chunks)
}

// Kick implements Queue: what was queued for transmit leaves.
func (m *Memory) Kick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down && m.transmit.len() > 0 {
		m.stats.KickDown++
		return
	}
	for m.completion.room() > 0 {
		f, ok := m.transmit.pop()
		if !ok {
			return
		}
		m.leave(f)
		m.completion.push(m.pool.Start(f.Addr))
	}
}

func (m *Memory) leave(f Frame) {
	if !m.pool.valid(f) {
		m.stats.TxInvalid++
		return
	}
	m.count++
	if !m.discard {
		start := len(m.sent)
		m.sent = append(m.sent, m.pool.Data(f)...)
		m.pool.copyOut(m.sent[start:], f)
		m.ends = append(m.ends, len(m.sent))
	}
}

// valid reports whether the kernel would send f: not empty, in the Pool,
// within one chunk, without options but the one that it can fulfil.
func (p *Pool) valid(f Frame) bool {
	end := f.Addr&uint64(p.Chunk-1) + uint64(f.Len)
	return f.Len > 0 && f.Addr < uint64(len(p.Bytes)) && end <= uint64(p.Chunk) &&
		(f.Options == 0 || f.Options == FinishChecksum && p.finishable(f))
}

// FD implements Queue: there is nothing to poll.
func (m *Memory) FD() int { return -1 }

// Stats implements Queue.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}
