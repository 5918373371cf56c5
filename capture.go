package lvx

import (
	"context"
	"errors"
	"io"

	"github.com/lvx-lb/lvx/nic"
)

// ErrCapturing tells that somebody else captures.
var ErrCapturing = errors.New("another capture is running")

// Capture writes the frames of both directions as a pcap stream to w, until
// ctx ends or w fails. Each queue copies into a bounded buffer: what w takes
// too slowly is missing.
func (d *Director) Capture(ctx context.Context, w io.Writer) error {
	if !d.capturing.CompareAndSwap(false, true) {
		return ErrCapturing
	}
	defer d.capturing.Store(false)
	// A Tap takes copies from the queues of one worker.
	taps := make([]*nic.Tap, len(d.workers))
	for i, worker := range d.workers {
		taps[i] = nic.NewTap(captureSlots, captureBytes)
		for _, t := range worker.tees {
			t.CopyTo(taps[i])
			defer t.CopyTo(nil)
		}
	}
	return nic.Record(ctx, w, taps...)
}

// What a capture holds for each worker, until it is written.
const (
	captureSlots = 4096
	captureBytes = 2048
)
