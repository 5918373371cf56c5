package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// profiled are the loads of Profile, one after the other.
var profiled = []Load{
	{Flows: 1000}, {Flows: 100_000}, {Flows: 1_000_000}, {Flows: 1000, Fresh: 0.2},
	{Flows: 1000, Sizes: IMIX}, {Flows: 1000, IPv6: true},
}

// Profile has lvx forward a mixed load, o.Window of each sort, UDP and where
// the programs are there TCP, and write a CPU profile of it to path, for
// `make profile`.
func Profile(ctx context.Context, o Options, path string) (err error) {
	o = o.WithDefaults()
	restore, err := changeMachine()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restore()) }()
	c, err := NewContender("lvx", o.Self, 2<<20)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	c.more = []string{"--cpuprofile", path}
	if err := errors.Join(c.restart(), c.profileCalls(ctx, o)); err != nil {
		return err
	}
	if err := errors.Join(c.count(SinkOptions{}), c.place(Apart, o.Urgent)); err != nil {
		return err
	}
	for _, l := range profiled {
		o.say("profiling %s, new ones %.0f %%", flowsText(l.Flows), 100*l.Fresh)
		if _, err := c.measure(ctx, l, 0, o.Window, 0, o.Urgent); err != nil {
			return err
		}
	}
	return c.process.Stop() // which writes the file
}

// profileCalls has clients call.
func (c *Contender) profileCalls(ctx context.Context, o Options) error {
	for _, program := range callPrograms {
		if _, err := find(program); err != nil {
			o.say("not profiled: TCP, as %s is not installed", program)
			return nil
		}
	}
	if err := errors.Join(c.serve(), c.answers(ctx)); err != nil {
		return err
	}
	o.say("profiling TCP")
	for _, take := range callKinds {
		if err := take(&callRow{}, c, max(1, int(o.Window/time.Second))); err != nil {
			return fmt.Errorf("profile TCP: %w", err)
		}
	}
	return nil
}
