package bench

import (
	"context"
	"strings"
	"time"
)

// Ledger tells what became of the frames offered to lvx: each is counted once
// by somebody, and not by lvx alone.
type Ledger struct {
	Title                      string
	Offered, Arrived, Accepted int            // sent by the generator, counted by the sink, taken by lvx
	Lost                       map[string]int // by who lost them and why
}

// Rest is how many frames nobody has counted.
func (l Ledger) Rest() int {
	rest := l.Offered - l.Arrived
	for _, n := range l.Lost {
		rest -= n
	}
	return rest
}

// ledger reads all counters along the way of a frame through lvx; nil for
// other contenders.
func (c *Contender) ledger() (map[string]int, error) {
	if c.Name != "lvx" {
		return nil, nil
	}
	counters, err := c.info()
	if err != nil {
		return nil, err
	}
	from, err := c.Client.Counters(clientNIC)
	if err != nil {
		return nil, err
	}
	to, err := c.Director.Counters(private)
	if err != nil {
		return nil, err
	}
	arrived, err := c.sink.Arrived()
	counters["offered"], counters["arrived"] = int(c.sent), int(arrived.Frames)
	counters["veth-in.ring-full"], counters["veth-out.ring-full"] = int(from.TxDropped), int(to.TxDropped)
	return counters, err
}

// account keeps the ledger of what was sent since before.
func (r *Result) account(ctx context.Context, c *Contender, before map[string]int, title string) error {
	if before == nil {
		return nil
	}
	if err := sleep(ctx, 100*time.Millisecond); err != nil { // what is under way arrives
		return err
	}
	after, err := c.ledger()
	if err != nil {
		return err
	}
	by := func(name string) int { return after[name] - before[name] }
	l := Ledger{Title: title, Offered: by("offered"), Arrived: by("arrived"), Accepted: by("received"), Lost: map[string]int{}}
	for name := range after {
		if n := by(name); n > 0 && isLoss(name) {
			l.Lost[name] = n
		}
	}
	for i := range r.ledgers {
		if r.ledgers[i].Title == title {
			r.ledgers[i] = l
			return nil
		}
	}
	r.ledgers = append(r.ledgers, l)
	return nil
}

// isLoss tells whether a counter counts frames that were lost. nic.rx-dropped
// and tx-dropped are the kernel's, and the latter also counts as veth-out.
func isLoss(name string) bool {
	return strings.HasPrefix(name, "drop.") || strings.HasPrefix(name, "veth-") ||
		name == "nic.rx-dropped" || name == "nic.rx-ring-full" || name == "steer.no-socket" || name == "steer.too-large" || name == "passed-up"
}
