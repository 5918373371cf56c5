package lvx

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/lvx-lb/lvx/bpf"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/packet"
)

const (
	upwardFrames = 256
	upwardRate   = 10_000 // a second
)

// upward is the way back: a worker leaves copies of frames in a bounded ring,
// a goroutine beside it gives them to the kernel.
type upward struct {
	links *links
	way   *bpf.WayBack
	log   *slog.Logger

	slots [upwardFrames]upwardFrame
	put   atomic.Uint64 // written by the worker
	taken atomic.Uint64 // written by run
	wake  chan struct{}

	tokens int64 // the worker's, in 1/1e9
	last   dataplane.Time

	failed atomic.Uint64
	warned bool
}

type upwardFrame struct {
	nic, len int
	partial  bool
	bytes    [chunkBytes]byte
}

func newUpward(l *links, way *bpf.WayBack, log *slog.Logger) *upward {
	return &upward{links: l, way: way, log: log, wake: make(chan struct{}, 1)}
}

// PassUp implements dataplane.Upward.
func (u *upward) PassUp(now dataplane.Time, nic int, frame []byte, partial bool) bool {
	second := int64(dataplane.Second)
	u.tokens = min(u.tokens+min(int64(now-u.last), second)*upwardRate, upwardFrames*second)
	u.last = now
	put := u.put.Load()
	if u.tokens < second || put-u.taken.Load() >= upwardFrames || len(frame) > chunkBytes {
		return false
	}
	u.tokens -= second
	s := &u.slots[put%upwardFrames]
	s.nic, s.partial, s.len = nic, partial, copy(s.bytes[:], frame)
	u.put.Store(put + 1)
	select {
	case u.wake <- struct{}{}:
	default:
	}
	return true
}

// run injects what workers leave, until ctx ends.
func (u *upward) run(ctx context.Context) {
	for {
		for at := u.taken.Load(); at != u.put.Load(); at++ {
			u.inject(&u.slots[at%upwardFrames])
			u.taken.Store(at + 1)
		}
		select {
		case <-ctx.Done():
			return
		case <-u.wake:
		}
	}
}

func (u *upward) inject(s *upwardFrame) {
	frame := s.bytes[:s.len]
	if s.partial {
		var p packet.Packet
		if packet.Parse(frame, &p) == packet.OK {
			p.CompletePartial()
		}
	}
	if err := u.way.Inject(u.links.nics[s.nic].ifindex, frame); err != nil {
		u.failed.Add(1)
		if !u.warned {
			u.warned = true
			u.log.Warn("cannot give a frame back to the kernel; counted as upward-failed from now on", "error", err)
		}
	}
}

func (u *upward) count(to map[string]uint64) { to["upward-failed"] += u.failed.Load() }
