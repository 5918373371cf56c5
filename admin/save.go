package admin

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/lvx-lb/lvx/service"
)

// Save writes what d was told so that Restore and ReadRules read it: the
// timeouts and the services with their thresholds, both in the words of
// ipvsadm, in the order in which they were made. Mark rules and the sysctls
// that are not the default follow unless plain; ipvsadm -R does not know these
// lines.
func Save(ctx context.Context, d Director, w io.Writer, plain bool) error {
	var saved service.Saved
	services, err := d.Status(ctx)
	if err == nil {
		saved.Services = service.WithoutStatus(services)
		saved.Timeouts, err = d.Timeouts(ctx)
	}
	if err == nil && !plain {
		err = saveOwn(ctx, d, &saved)
	}
	if err != nil {
		return fmt.Errorf("read the director: %w", err)
	}
	return saved.Write(w)
}

// saveOwn adds what ipvsadm has no words for.
func saveOwn(ctx context.Context, d Director, to *service.Saved) (err error) {
	if to.Marks, err = d.Marks(ctx); err != nil {
		return err
	}
	settings, err := d.Settings(ctx)
	to.Sysctls = settings.Changed()
	return err
}

// Restore makes the services of d those that r names, the mark rules too if r
// has some, and sets what else r sets: all of it or nothing. A service that
// stays keeps its connections.
func Restore(ctx context.Context, d Director, r io.Reader) error {
	edits, err := ReadRules(r)
	if err != nil {
		return err
	}
	fresh := []service.Edit{{Op: service.Clear}}
	if slices.ContainsFunc(edits, func(e service.Edit) bool { return e.Op == service.AddMark }) {
		fresh = append(fresh, service.Edit{Op: service.ClearMarks})
	}
	return d.Apply(ctx, append(fresh, edits...))
}
