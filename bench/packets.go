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
	steady, opening := r.newField("packets a second"), r.newField("new flows a second")
	defer func() { err = errors.Join(err, steady.close(), opening.close()) }()
	count := func(c *Contender) error { return c.count(SinkOptions{Delays: true}) }
	for _, name := range []string{"lvx", "bare", "nft"} {
		steady.enter(name, slices.Max(o.Flows)*21/20, count)
		opening.enter(name, newTable, count)
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

// steadyRound measures each number of flows once with every contender.
func (r *Result) steadyRound(ctx context.Context, o Options, steady *field, p Placement) error {
	for _, flows := range o.Flows {
		err := steady.each(ctx, func(c *Contender) error { return r.steadyRate(ctx, o, c, p, flows) })
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Result) steadyRate(ctx context.Context, o Options, c *Contender, p Placement, flows int) error {
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
	return r.account(ctx, c, before, fmt.Sprintf("%s, %s", p, flowsText(flows)))
}

// openingRound measures "every packet is a new flow" with directors that know
// no connection.
func (r *Result) openingRound(ctx context.Context, o Options, opening *field, p Placement) error {
	return opening.each(ctx, func(c *Contender) error {
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
		return nil
	})
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
