package xsk

import (
	"unsafe"

	"github.com/lvx-lb/lvx/nic"
	"golang.org/x/sys/unix"
)

// Receive implements nic.Queue.
func (s *Socket) Receive(frames []nic.Frame) int { return s.rx.take(frames) }

// Transmit implements nic.Queue. Nothing leaves before Kick.
func (s *Socket) Transmit(frames []nic.Frame) int { return s.tx.put(frames) }

// Fill implements nic.Queue.
func (s *Socket) Fill(chunks []uint64) int { return s.fill.put(chunks) }

// Complete implements nic.Queue. The kernel returns the address that was
// transmitted, which lies somewhere in its chunk.
func (s *Socket) Complete(chunks []uint64) int {
	n := s.completed.take(chunks)
	for i := range chunks[:n] {
		chunks[i] &= s.chunkMask
	}
	return n
}

// InFlight returns how many frames were transmitted and not completed. Every
// frame is completed once, so the two indices that we write tell.
func (s *Socket) InFlight() int { return int(s.tx.own - s.completed.own) }

// Unsent returns how many frames still lie in the transmit ring.
func (s *Socket) Unsent() int { return s.tx.waiting() }

// Kick implements nic.Queue. Take completions before it: in copy mode the
// kernel sends only what it has room to complete.
func (s *Socket) Kick() {
	if s.fill.wantsKick() && s.fill.waiting() > 0 {
		s.count(recvfrom(s.fd))
	}
	if !s.tx.wantsKick() {
		return
	}
	if s.zeroCopy {
		s.kickZeroCopy()
		return
	}
	s.kickCopy()
}

// kickZeroCopy wakes the driver, which then sends until the ring is empty, and
// says so late. What it was woken for already is worth another interrupt only
// if it still lies there at a third kick, or the last one was refused.
func (s *Socket) kickZeroCopy() {
	switch {
	case s.tx.waiting() == 0:
		s.overdue = false
	case s.tx.own == s.told && !s.overdue:
		s.overdue = true
	default:
		errno := sendto(s.fd)
		s.count(errno)
		s.told, s.overdue = s.tx.own, errno != 0
	}
}

// maxKicks bounds the system calls of one Kick: enough for a ring of 2048 at
// 32 frames a call.
const maxKicks = 64

// kickCopy calls sendto until the transmit ring is empty or stands still. One
// call sends what the budget allows and answers EAGAIN for the rest; EBUSY
// means that the device took a frame and lost it, with the rest still to go.
func (s *Socket) kickCopy() {
	waiting := s.tx.waiting()
	for range maxKicks {
		if waiting == 0 {
			return
		}
		errno := sendto(s.fd)
		before := waiting
		waiting = s.tx.waiting()
		if waiting == before || (errno != unix.EAGAIN && errno != unix.EBUSY) {
			s.count(errno)
			return
		}
		if errno == unix.EBUSY {
			s.stats.TxDropped++
		}
	}
}

// count puts a refused kick into its class.
func (s *Socket) count(errno unix.Errno) {
	switch errno {
	case 0:
		return
	case unix.EAGAIN, unix.EBUSY, unix.ENOBUFS:
		s.stats.KickRetry++
	case unix.ENETDOWN, unix.ENXIO:
		s.stats.KickDown++
	default:
		s.stats.KickFailed++
	}
	s.stats.KickLastErrno = uint32(errno)
}

// Stats implements nic.Queue. It asks the kernel, so it is for once in a
// while.
func (s *Socket) Stats() nic.Stats {
	k := &s.kernel
	if getsockopt(s.fd, unix.XDP_STATISTICS, unsafe.Pointer(k), unsafe.Sizeof(*k)) != nil {
		return s.stats
	}
	s.stats.RxDropped = k.Rx_dropped
	s.stats.RxRingFull = k.Rx_ring_full
	s.stats.RxInvalid = k.Rx_invalid_descs
	s.stats.TxInvalid = k.Tx_invalid_descs
	s.stats.FillEmpty = k.Rx_fill_ring_empty_descs
	s.stats.TxEmpty = k.Tx_ring_empty_descs
	return s.stats
}
