package bench

import (
	"context"
	"errors"
	"time"
)

// delays are the delays of frames, one figure a window, in microseconds.
type delays struct {
	arrived              []float64 // share of the frames
	half, p99, p999, max []float64
}

func (d *delays) take(s Sample) {
	d.arrived = append(d.arrived, float64(s.Arrived)/float64(max(s.Sent, 1)))
	for q, to := range map[float64]*[]float64{0.5: &d.half, 0.99: &d.p99, 0.999: &d.p999, 1: &d.max} {
		*to = append(*to, float64(s.Delays.Quantile(q))/float64(time.Microsecond))
	}
}

// delayRow is the delay of frames at one rate.
type delayRow struct {
	contender string
	share     float64 // of the rate that the bare forwarder reached; 0 = from idle
	offered   float64 // frames a second
	delays
}

// idleRate is so slow that a director sleeps between two frames.
const idleRate = 50

// steadyFlows is how many flows there are where delays are measured.
const steadyFlows = 1000

// latency measures delays at shares of the bare forwarder's rate.
func (r *Result) latency(ctx context.Context, o Options) (err error) {
	f := r.newField("delays")
	defer func() { err = errors.Join(err, f.close()) }()
	for _, name := range []string{"bare", "lvx", "nft"} {
		f.enter(name, 1<<20, func(c *Contender) error { return c.readyForDelays(ctx, o) })
	}
	full, err := f.bareRate(ctx, o)
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
			err := f.each(ctx, func(c *Contender) error { return r.delaysAt(ctx, o, c, share, share*full) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// readyForDelays places a contender and opens the flows that are measured.
func (c *Contender) readyForDelays(ctx context.Context, o Options) error {
	return errors.Join(c.count(SinkOptions{Delays: true}), c.place(Apart, o.Urgent), c.prefill(ctx, o, steadyFlows))
}

// bareRate is what the bare forwarder carries, frames a second.
func (f *field) bareRate(ctx context.Context, o Options) (float64, error) {
	c := f.find("bare")
	if c == nil {
		return 0, errors.New("no bare forwarder to take shares of")
	}
	s, err := c.measure(ctx, Load{Flows: steadyFlows}, o.Warm, o.Window, 0, o.Urgent)
	return s.Rate(), err
}

func (r *Result) delaysAt(ctx context.Context, o Options, c *Contender, share, rate float64) error {
	if share == 0 {
		rate = idleRate
	}
	s, err := c.measure(ctx, Load{Flows: steadyFlows, Rate: rate, Stamp: true}, o.Warm/2, o.Window, 0, o.Urgent)
	if err != nil {
		return err
	}
	r.delayRow(c.Name, share, rate).take(s)
	return nil
}

// delaysOf returns the delays of a contender at a share, none if there are none.
func (r *Result) delaysOf(contender string, share float64) delays {
	for _, row := range r.delays {
		if row.contender == contender && row.share == share {
			return row.delays
		}
	}
	return delays{}
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
