package bench

import (
	"context"
	"errors"
	"time"
)

// delayRow is the delay of frames at one rate.
type delayRow struct {
	contender      string
	share          float64 // of the rate that the bare forwarder reached; 0 = from idle
	offered        float64 // frames a second
	arrived        float64 // share of the frames
	half, p99, max []float64
	p999           []float64 // all in microseconds
}

// idleRate is so slow that a director sleeps between two frames.
const idleRate = 50

// latency measures delays at shares of the bare forwarder's rate.
func (r *Result) latency(ctx context.Context, o Options) (err error) {
	var all []*Contender
	defer func() { err = errors.Join(err, closeAll(all)) }()
	for _, name := range r.present("bare", "lvx", "nft") {
		c, err := NewContender(name, o.Self, 1<<20)
		if err != nil {
			return err
		}
		all = append(all, c)
		if err := errors.Join(c.count(SinkOptions{Delays: true}), c.place(Apart, o.Urgent), c.prefill(ctx, o, 1000)); err != nil {
			return err
		}
	}
	s, err := all[0].measure(ctx, Load{Flows: 1000}, o.Warm, o.Window, 0, o.Urgent)
	if err != nil {
		return err
	}
	shares := []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9}
	if o.Short {
		shares = []float64{0, 0.5}
	}
	for round := range o.Rounds {
		o.say("delays, round %d of %d", round+1, o.Rounds)
		for _, share := range shares {
			for _, c := range all {
				if err := r.delaysAt(ctx, o, c, share, share*s.Rate()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *Result) delaysAt(ctx context.Context, o Options, c *Contender, share, rate float64) error {
	if share == 0 {
		rate = idleRate
	}
	s, err := c.measure(ctx, Load{Flows: 1000, Rate: rate, Stamp: true}, o.Warm/2, o.Window, 0, o.Urgent)
	if err != nil {
		return err
	}
	row := r.delayRow(c.Name, share, rate)
	row.arrived = float64(s.Arrived) / float64(max(s.Sent, 1))
	for q, to := range map[float64]*[]float64{0.5: &row.half, 0.99: &row.p99, 0.999: &row.p999, 1: &row.max} {
		*to = append(*to, float64(s.Delays.Quantile(q))/float64(time.Microsecond))
	}
	return nil
}

// delayRow returns the row of a contender and a share, new if there is none.
func (r *Result) delayRow(contender string, share, rate float64) *delayRow {
	for i := range r.delays {
		if r.delays[i].contender == contender && r.delays[i].share == share {
			return &r.delays[i]
		}
	}
	r.delays = append(r.delays, delayRow{contender: contender, share: share, offered: rate})
	return &r.delays[len(r.delays)-1]
}
