package xsk

import "github.com/lvx-lb/lvx/nic"

// Chunks calls each for every chunk that lies in one of the four rings, and
// returns how many more the kernel holds where nobody can see them: taken
// from the fill ring and not yet received, or sent and not yet completed. It
// is for who takes over a socket of a process that is gone.
func (s *Socket) Chunks(each func(chunk uint64)) (hidden int) {
	for _, r := range []*ring[uint64]{&s.fill, &s.completed} {
		for at := r.consumer.Load(); at != r.producer.Load(); at++ {
			each(r.slots[at&r.mask] & s.chunkMask)
		}
	}
	for _, r := range []*ring[nic.Frame]{&s.rx, &s.tx} {
		for at := r.consumer.Load(); at != r.producer.Load(); at++ {
			each(r.slots[at&r.mask].Addr & s.chunkMask)
		}
	}
	unseen := s.fill.consumer.Load() - s.rx.producer.Load()
	unsent := s.tx.consumer.Load() - s.completed.producer.Load()
	return int(unseen + unsent)
}

// Filled returns how many chunks the queue was given to receive into and has
// not handed out yet.
func (s *Socket) Filled() int { return int(s.fill.own - s.rx.own) }
