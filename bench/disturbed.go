package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lvx-lb/lvx/admin"
)

// trouble is something that goes on in a director while delays are measured at
// half of the bare forwarder's rate.
type trouble struct {
	what      string
	contender string
	window    time.Duration // 0 = that of all figures
	// begin lets it begin; end ends it and tells how much of it there was.
	begin func(ctx context.Context, c *Contender, o Options) (end func() (float64, error), err error)
}

// How often garbage is collected, and a rule changed at most.
const (
	collectEvery = 10 * time.Millisecond
	changeEvery  = time.Millisecond
)

// The connections that expire: opened in 2.5 s, they end over 2.5 s.
const (
	expiring     = 1_000_000
	expiringRate = 400_000
	expiringLast = 5 * time.Second
)

var troubles = []trouble{
	{what: "nothing", contender: "bare"},
	{what: "nothing", contender: "lvx"},
	{what: fmt.Sprintf("garbage is collected every %v", collectEvery), contender: "lvx-gc"},
	{what: "rules come and go", contender: "lvx", begin: changeRules},
	{what: "1M connections expire", contender: "lvx", window: 2500 * time.Millisecond, begin: expire},
}

// troubleRow is the delay at half load while something goes on.
type troubleRow struct {
	trouble
	offered float64   // frames a second
	amount  []float64 // changes, or connections that expired
	delays
}

// disturbed measures delays at half load in quiet and in trouble.
func (r *Result) disturbed(ctx context.Context, o Options) (err error) {
	f := r.newField("delays in trouble")
	defer func() { err = errors.Join(err, f.close()) }()
	for _, name := range []string{"bare", "lvx", "lvx-gc"} {
		f.enter(name, expiring*21/20, func(c *Contender) error { return c.readyForDelays(ctx, o) })
	}
	full, err := f.bareRate(ctx, o)
	if err != nil {
		return err
	}
	for _, t := range troubles {
		r.troubles = append(r.troubles, troubleRow{trouble: t, offered: full / 2})
	}
	for round := range o.Rounds {
		o.say("delays in trouble, round %d of %d", round+1, o.Rounds)
		for i := range r.troubles {
			row := &r.troubles[i]
			err := f.each(ctx, func(c *Contender) error {
				if c.Name != row.contender {
					return nil
				}
				return row.measure(ctx, o, c)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (row *troubleRow) measure(ctx context.Context, o Options, c *Contender) (err error) {
	if row.begin != nil {
		end, err := row.begin(ctx, c, o)
		if err != nil {
			return err
		}
		defer func() {
			amount, failed := end()
			row.amount = append(row.amount, amount)
			err = errors.Join(err, failed)
		}()
	}
	window := o.Window
	if row.window > 0 {
		window = row.window
	}
	s, err := c.measure(ctx, Load{Flows: steadyFlows, Rate: row.offered, Stamp: true}, o.Warm/2, window, 0, o.Urgent)
	if err == nil {
		row.take(s)
	}
	return err
}

// adm carries out a command of ipvsadm.
func (c *Contender) adm(ctx context.Context, args ...string) error {
	var told bytes.Buffer
	if admin.Run(ctx, args, nil, io.Discard, &told, c.socket(), admin.Names{}) != 0 {
		return fmt.Errorf("lvx adm %v: %s", args, &told)
	}
	return nil
}

// changeRules adds and deletes a service and a server of the one that is
// measured, over and over.
func changeRules(ctx context.Context, c *Contender, _ Options) (end func() (float64, error), err error) {
	ctx, stop := context.WithCancel(ctx)
	other, here := fmt.Sprintf("%s:%d", vip, virtualPort+1), fmt.Sprintf("%s:%d", vip, virtualPort)
	server := fmt.Sprintf("%s:%d", rips[0], realPort+1)
	changes := [][]string{
		{"-A", "-u", other, "-s", "wlc"}, {"-a", "-u", here, "-r", server, "-m"},
		{"-D", "-u", other}, {"-d", "-u", here, "-r", server},
	}
	done, failed := 0, make(chan error, 1)
	go func() {
		tick := time.NewTicker(changeEvery)
		defer tick.Stop()
		for ; ctx.Err() == nil || done%len(changes) != 0; done++ {
			<-tick.C
			if err := c.adm(context.WithoutCancel(ctx), changes[done%len(changes)]...); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	return func() (float64, error) {
		stop()
		err := <-failed
		return float64(done), err
	}, nil
}

// expire opens connections and waits until the first of them are about to end.
func expire(ctx context.Context, c *Contender, o Options) (end func() (float64, error), err error) {
	seconds := func(d time.Duration) string { return fmt.Sprint(int(d.Seconds())) }
	if err := c.adm(ctx, "--set", "0", "0", seconds(expiringLast)); err != nil {
		return nil, err
	}
	began := time.Now()
	_, stop, err := c.generate(ctx, Load{Flows: expiring, InOrder: true, Rate: expiringRate, Most: expiring}, o.Urgent)
	if err != nil {
		return nil, err
	}
	if err := stop(); err != nil {
		return nil, err
	}
	opened, err := lvxConns(c)
	if err != nil {
		return nil, err
	}
	return func() (float64, error) {
		left, err := lvxConns(c)
		return float64(opened - left), errors.Join(err, c.adm(ctx, "--set", "0", "0", seconds(5*time.Minute)))
	}, sleep(ctx, time.Until(began.Add(expiringLast-o.Warm/2)))
}
