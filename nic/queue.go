// Package nic is the edge of the fast path: a Queue is one receive and
// transmit ring pair of a NIC. nic/xsk implements it on AF_XDP; the doubles
// in this package stand in for it without privilege (Memory, Pcap), and the
// wrappers copy what passes (Tee), make it go wrong (Faulty) or check that no
// frame is lost or doubled (Ledger).
//
// All queues of a director share one Pool of frame memory. A frame is named
// by its offset in the Pool and is at any time in exactly one place: a free
// list, a fill ring, a receive ring, a worker's hands, a transmit ring or a
// completion ring. That is why a frame received on one NIC is sent on another
// without copying.
package nic

import "github.com/lvx-lb/lvx/internal/prefetch"

// Frame is a frame in the Pool, laid out as the kernel's struct xdp_desc
// (include/uapi/linux/if_xdp.h).
type Frame struct {
	Addr    uint64 // offset in the Pool of the first byte
	Len     uint32 // bytes
	Options uint32 // 0 or FinishChecksum
}

// Pool is the memory that holds all frames, cut into chunks of equal size.
type Pool struct {
	Bytes []byte
	Chunk uint32 // bytes a frame may fill, headroom included; a power of two
}

// Headroom is how far into its chunk a frame built by a worker begins, so
// that there is room for VLAN tags in front. Received frames begin where the
// driver put them (XDP_PACKET_HEADROOM = 256).
const Headroom = 256

// Data returns the bytes of f. It panics if f lies outside the Pool.
func (p *Pool) Data(f Frame) []byte {
	end := f.Addr + uint64(f.Len)
	return p.Bytes[f.Addr:end:end]
}

// Prefetch asks for the first line of each frame's bytes, which who received
// them has in the cache of another core or not at all. It does not wait.
func (p *Pool) Prefetch(frames []Frame) {
	var at [64]uint64
	for len(frames) > 0 {
		n := min(len(frames), len(at))
		for i := range frames[:n] {
			at[i] = frames[i].Addr
		}
		prefetch.Lines(p.Bytes, at[:n])
		frames = frames[n:]
	}
}

// Chunks returns how many frames the Pool holds.
func (p *Pool) Chunks() int { return len(p.Bytes) / int(p.Chunk) }

// Queue is one receive and transmit ring pair. It belongs to one goroutine.
// No method blocks or allocates.
type Queue interface {
	// Receive takes up to len(frames) received frames; they are the caller's.
	Receive(frames []Frame) int
	// Transmit queues frames in order and returns how many there was room
	// for; those are the queue's until Complete returns them.
	Transmit(frames []Frame) int
	// Fill gives free chunks to receive into, by any address inside the
	// chunk, and returns how many there was room for.
	Fill(chunks []uint64) int
	// Complete takes back up to len(chunks) frames that have been sent.
	// Addresses are chunk starts.
	Complete(chunks []uint64) int
	// Kick tells the kernel to work on what was queued, if it asked for it;
	// called once a batch, after Transmit and Fill.
	Kick()
	// FD is what to poll for received frames, -1 when there is nothing.
	FD() int
	// Stats returns losses outside the director's own counters.
	Stats() Stats
}

// Stats are losses at a queue that never reached the worker, and kicks that
// the kernel refused.
type Stats struct {
	RxDropped     uint64 // XDP_STATISTICS rx_dropped: no room or an invalid frame
	RxRingFull    uint64 // rx_ring_full
	RxInvalid     uint64 // rx_invalid_descs
	TxInvalid     uint64 // tx_invalid_descs
	FillEmpty     uint64 // rx_fill_ring_empty_descs
	TxEmpty       uint64 // tx_ring_empty_descs
	TxDropped     uint64 // EBUSY: taken by the device in copy mode, and lost
	KickRetry     uint64 // EAGAIN, EBUSY, ENOBUFS: sent later
	KickDown      uint64 // ENETDOWN, ENXIO: link or socket down
	KickFailed    uint64 // any other error
	KickLastErrno uint32 // errno of the last failed kick
}
