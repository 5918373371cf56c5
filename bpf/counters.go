package bpf

import "fmt"

// Counters say what steering did with frames since it was loaded. Frames
// left to the kernel are not counted.
type Counters struct {
	Services  uint64 // redirected: to a service
	Replies   uint64 // redirected: from a real server
	Errors    uint64 // redirected: ICMP errors about either
	Fragments uint64 // redirected: fragments to a VIP or from a real server
	NoSocket  uint64 // dropped: no socket on the queue
	TooLarge  uint64 // dropped: longer than a chunk has room for
}

// Counters adds up the counters of all CPUs.
func (s *Steering) Counters() (Counters, error) {
	var c Counters
	for reason, sum := range map[steerReason]*uint64{
		steerReasonSERVICE:   &c.Services,
		steerReasonREPLY:     &c.Replies,
		steerReasonERROR:     &c.Errors,
		steerReasonFRAGMENT:  &c.Fragments,
		steerReasonNO_SOCKET: &c.NoSocket,
		steerReasonTOO_LARGE: &c.TooLarge,
	} {
		var each []uint64
		if err := s.objects.Counters.Lookup(reason, &each); err != nil {
			return Counters{}, fmt.Errorf("read steering counters: %w", err)
		}
		for _, n := range each {
			*sum += n
		}
	}
	return c, nil
}

// Large returns the index of the NIC by which the last frame came that was
// longer than a chunk has room for, 0 if there was none.
func (s *Steering) Large() (ifindex int, err error) {
	var nic uint32
	if err := s.objects.Large.Lookup(uint32(0), &nic); err != nil {
		return 0, fmt.Errorf("read steering's large frames: %w", err)
	}
	return int(nic), nil
}
