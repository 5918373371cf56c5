package nic

import "math/rand/v2"

// Faults say what a Faulty queue does wrong. Shares are of 1.
type Faults struct {
	Seed          uint64
	LoseReceived  float64 // frames that never reach the worker
	LoseSent      float64 // frames that are taken and never leave
	Flip          float64 // received frames with one bit turned
	ShortTransmit float64 // calls of Transmit that take only a part
	// Of every DownEvery kicks the last DownFor find the link down; 0 is never.
	DownEvery, DownFor int
}

// Suffered counts the faults of a Faulty queue.
type Suffered struct{ LostReceived, LostSent, Flipped, Short, Down uint64 }

// Faulty is a Queue that does some things wrong, the same ones for the same
// seed. It never duplicates or keeps a chunk: what it loses goes back into the
// fill ring or comes back as completed.
type Faulty struct {
	Suffered Suffered

	queue  Queue
	pool   *Pool
	faults Faults
	random *rand.Rand
	kicks  int
	down   bool
	refill []uint64 // chunks of lost received frames, on their way back to the fill ring
	gone   []uint64 // chunks of lost sent frames, to be completed
}

// NewFaulty wraps q.
func NewFaulty(q Queue, pool *Pool, faults Faults) *Faulty {
	return &Faulty{
		queue: q, pool: pool, faults: faults,
		random: rand.New(rand.NewPCG(faults.Seed, 0)),
		refill: make([]uint64, 0, pool.Chunks()),
		gone:   make([]uint64, 0, pool.Chunks()),
	}
}

func (f *Faulty) strikes(share float64) bool { return share > 0 && f.random.Float64() < share }

// Receive implements Queue.
func (f *Faulty) Receive(frames []Frame) int {
	if f.down {
		return 0
	}
	kept := 0
	for _, frame := range frames[:f.queue.Receive(frames)] {
		if f.strikes(f.faults.LoseReceived) {
			f.Suffered.LostReceived++
			f.refill = append(f.refill, frame.Addr)
			continue
		}
		if frame.Len > 0 && f.strikes(f.faults.Flip) {
			f.Suffered.Flipped++
			bit := f.random.IntN(int(frame.Len) * 8)
			f.pool.Data(frame)[bit/8] ^= 1 << (bit % 8)
		}
		frames[kept] = frame
		kept++
	}
	f.giveBack()
	return kept
}

// giveBack returns the chunks of lost frames to the fill ring.
func (f *Faulty) giveBack() {
	n := f.queue.Fill(f.refill)
	f.refill = f.refill[:copy(f.refill, f.refill[n:])]
}

// Transmit implements Queue.
func (f *Faulty) Transmit(frames []Frame) int {
	if len(frames) > 0 && f.strikes(f.faults.ShortTransmit) {
		f.Suffered.Short++
		frames = frames[:f.random.IntN(len(frames))]
	}
	for i := range frames {
		if f.strikes(f.faults.LoseSent) {
			f.Suffered.LostSent++
			f.gone = append(f.gone, f.pool.Start(frames[i].Addr))
			continue
		}
		if f.queue.Transmit(frames[i:i+1]) == 0 {
			return i
		}
	}
	return len(frames)
}

// Fill implements Queue.
func (f *Faulty) Fill(chunks []uint64) int {
	f.giveBack()
	return f.queue.Fill(chunks)
}

// Complete implements Queue.
func (f *Faulty) Complete(chunks []uint64) int {
	n := copy(chunks, f.gone)
	f.gone = f.gone[:copy(f.gone, f.gone[n:])]
	return n + f.queue.Complete(chunks[n:])
}

// Kick implements Queue.
func (f *Faulty) Kick() {
	if f.faults.DownEvery > 0 {
		f.down = f.kicks%f.faults.DownEvery >= f.faults.DownEvery-f.faults.DownFor
		f.kicks++
	}
	if f.down {
		f.Suffered.Down++
		return
	}
	f.queue.Kick()
}

// FD implements Queue.
func (f *Faulty) FD() int { return f.queue.FD() }

// Stats implements Queue; a kick of a link that is down counts as KickDown.
func (f *Faulty) Stats() Stats {
	s := f.queue.Stats()
	s.KickDown += f.Suffered.Down
	return s
}
