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
	taps := make([]*nic.Tap, len(d.tees))
	for i, t := range d.tees {
		taps[i] = nic.NewTap(2048, 2048)
		t.CopyTo(taps[i])
		defer t.CopyTo(nil)
	}
	return nic.Record(ctx, w, taps...)
}
