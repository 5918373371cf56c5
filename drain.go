package lvx

import (
	"context"
	"fmt"
	"time"

	"github.com/lvx-lb/lvx/service"
)

// drainStep is how often is looked at what a server still has.
const drainStep = time.Second

// Drain gives a server weight 0 and returns when its last connection has
// ended; tell hears now and then what is left, and its error ends the wait.
// When there is a deadline, what is left then is ended: both ends of TCP
// connections are reset, those of SCTP told if they send something soon, others
// are forgotten. A ctx that ends leaves the server with weight 0, and its
// connections alone.
func (d *Director) Drain(ctx context.Context, x service.Drain, tell func(service.Left) error) error {
	if x.Deadline < 0 {
		return fmt.Errorf("drain %v: %w: a deadline of %v", x.Server, service.ErrInvalid, x.Deadline)
	}
	if err := d.quiesce(x); err != nil {
		return fmt.Errorf("drain %v: %w", x.Server, err)
	}
	over := make(<-chan time.Time)
	if x.Deadline > 0 {
		over = time.After(x.Deadline)
	}
	look := time.NewTicker(drainStep)
	defer look.Stop()
	for ending := false; ; {
		left, err := d.left(x, ending)
		if err == nil {
			err = tell(left)
		}
		if err != nil || left.Empty() {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			ending = true
		case <-look.C:
		}
	}
}

// quiesce gives the server weight 0, whatever it has.
func (d *Director) quiesce(x service.Drain) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.set.Find(x.Service)
	if !ok {
		return service.ErrServiceNotDefined
	}
	for _, s := range v.Servers {
		if s.Address == x.Server {
			s.Weight = 0
			return d.apply([]service.Edit{{Op: service.EditServer, Service: v.Service, Server: s}})
		}
	}
	return service.ErrNoServer
}

// left looks at a server that is drained, and has the workers end what it has
// if that is due.
func (d *Director) left(x service.Drain, ending bool) (service.Left, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := service.Left{Ending: ending}
	s := d.roster.Find(x.Service, x.Server)
	switch {
	case d.closed:
		return left, ErrClosed
	case s == nil: // deleted, and empty
		return left, nil
	case !s.Deleted() && s.Address.Weight > 0:
		return left, fmt.Errorf("drain %v: %w", x.Server, service.ErrWeight)
	}
	if left.Active, left.Inactive = s.Counts(); ending && !left.Empty() {
		s.Sever()
		d.each(func(w *worker) { w.Sever() })
	}
	left.Persistent = s.Templates()
	return left, nil
}
