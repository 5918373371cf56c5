package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// fresh stands in the place of a number of flows for "every packet is a new
// flow".
const fresh = 0

// newTable is lvx's connection table where every packet is a new connection:
// what a window and its warm-up can open.
const newTable = 4 << 20

// packets measures small UDP frames, all contenders in turn.
func (r *Result) packets(ctx context.Context, o Options) (err error) {
	var all []*Contender
	defer func() { err = errors.Join(err, closeAll(all)) }()
	start := func(name string, table int) (*Contender, error) {
		c, err := NewContender(name, o.Self, table)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
		return c, c.count(SinkOptions{Delays: true})
	}
	var steady, opening []*Contender
	for _, name := range r.present("lvx", "bare", "nft") {
		c, err := start(name, slices.Max(o.Flows)*21/20)
		if err != nil {
			return err
		}
		steady = append(steady, c)
		if name == "bare" {
			opening = append(opening, c)
			continue
		}
		if c, err = start(name, newTable); err != nil {
			return err
		}
		opening = append(opening, c)
	}
	for round := range o.Rounds {
		o.say("packets a second, round %d of %d", round+1, o.Rounds)
		for _, p := range []Placement{Apart, Alone} {
			if err := r.steadyRound(ctx, o, steady, p); err != nil {
				return err
			}
			if err := r.openingRound(ctx, o, opening, p); err != nil {
				return err
			}
		}
	}
	return nil
}

func closeAll(all []*Contender) error {
	var errs []error
	for _, c := range all {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// steadyRound measures each number of flows once with every contender.
func (r *Result) steadyRound(ctx context.Context, o Options, all []*Contender, p Placement) error {
	for _, flows := range o.Flows {
		for _, c := range all {
			if err := errors.Join(c.place(p, o.Urgent), c.prefill(ctx, o, flows)); err != nil {
				return err
			}
			before, err := c.ledger()
			if err != nil {
				return err
			}
			s, err := c.measure(ctx, Load{Flows: flows}, o.Warm, o.Window, c.PID(), o.Urgent)
			if err != nil {
				return err
			}
			r.add(p, flows, c.Name, s)
			if err := r.account(ctx, c, before, fmt.Sprintf("%s, %s", p, flowsText(flows))); err != nil {
				return err
			}
		}
	}
	return nil
}

// openingRound measures "every packet is a new flow" with directors that know
// no connection.
func (r *Result) openingRound(ctx context.Context, o Options, all []*Contender, p Placement) error {
	for _, c := range all {
		if c.reclaim != nil {
			if err := c.reclaim(c); err != nil {
				return err
			}
		}
		if err := c.place(p, o.Urgent); err != nil {
			return err
		}
		s, err := c.measure(ctx, Load{Flows: 1, Fresh: 1}, o.Warm/2, o.Window, c.PID(), o.Urgent)
		if err != nil {
			return err
		}
		r.add(p, fresh, c.Name, s)
	}
	return nil
}

// prefill opens all flows before they are measured: one after the other, at a
// rate that drops few, and again until none is missing. On a machine that is
// busy with other things the last of many may stay away.
func (c *Contender) prefill(ctx context.Context, o Options, flows int) error {
	if c.conns == nil {
		return nil
	}
	for range 8 {
		if n, err := c.conns(c); err != nil || n >= flows {
			return err
		}
		l := Load{Flows: flows, InOrder: true, Rate: prefillRate, Most: uint64(flows)}
		_, stop, err := c.generate(ctx, l, o.Urgent)
		if err != nil {
			return err
		}
		if err := stop(); err != nil {
			return err
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	n, err := c.conns(c)
	if err == nil && n < flows*97/100 {
		err = fmt.Errorf("%s holds %d connections of %d that were opened", c.Name, n, flows)
	}
	return err
}
