package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Options say what Run measures, and how long.
type Options struct {
	Self    string        // path of the lvx binary
	Rounds  int           // how often each figure is taken
	Warm    time.Duration // load before each window
	Window  time.Duration // of each figure
	Urgent  bool          // generator and directors before all other processes
	Short   bool          // fewer flows and rows, for continuous integration
	Only    []string      // parts that are taken; none = all
	Skip    []string      // parts that are left out
	Flows   []int         // numbers of flows; nil = those of the length
	Say     io.Writer     // progress
	Command string        // how it was called
}

// WithDefaults fills in what was left open.
func (o Options) WithDefaults() Options {
	rounds, warm, window, flows := 3, 400*time.Millisecond, time.Second, []int{1, 1000, 100_000, 1_000_000}
	if o.Short {
		rounds, warm, window, flows = 3, 200*time.Millisecond, 500*time.Millisecond, []int{1000, 1_000_000}
	}
	if o.Rounds == 0 {
		o.Rounds = rounds
	}
	if o.Warm == 0 {
		o.Warm = warm
	}
	if o.Window == 0 {
		o.Window = window
	}
	if o.Flows == nil {
		o.Flows = flows
	}
	if o.Say == nil {
		o.Say = io.Discard
	}
	return o
}

// Parts are what a measurement consists of, in their order.
var Parts = []string{"udp", "latency", "disturbed", "tcp", "idle", "memory", "process"}

func (o Options) takes(part string) bool {
	return (len(o.Only) == 0 || slices.Contains(o.Only, part)) && !slices.Contains(o.Skip, part)
}

// Check refuses parts that do not exist.
func (o Options) Check() error {
	for _, part := range slices.Concat(o.Only, o.Skip) {
		if !slices.Contains(Parts, part) {
			return fmt.Errorf("no part is called %q; there are %s", part, strings.Join(Parts, ", "))
		}
	}
	return nil
}

func (o Options) say(format string, args ...any) {
	fmt.Fprintf(o.Say, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// Placement says which CPU does what.
type Placement uint8

// Placements. In each the generator has CPU 0; where a veth's frames are
// received follows from who polls it.
const (
	Apart   Placement = iota // receive work on the generator's CPU, the director's process on the other
	Alone                    // receive work and process of the director on one CPU
	Nowhere                  // nobody is pinned
)

// String names p as the result does.
func (p Placement) String() string {
	return [...]string{"receive work on the generator's core", "the whole director on one core", "nobody pinned"}[p]
}

// place moves a contender's receive work and process. A NIC that nobody polls
// refuses the setting.
func (c *Contender) place(p Placement, urgent bool) error {
	threaded := "0"
	if p == Alone {
		threaded = "1"
	}
	if _, err := command(c.Director, "sh", "-c", "for n in "+public+" "+private+"; do echo "+threaded+" > /sys/class/net/$n/threaded; done 2>/dev/null; true"); err != nil {
		return fmt.Errorf("place %s: %w", c.Name, err)
	}
	polling, process := asIs, asIs
	switch {
	case urgent && c.process == nil:
		polling = first
	case urgent:
		polling, process = second, first
	}
	if p == Alone {
		if pinPolling(public, directorCPU(), polling) == 0 {
			return fmt.Errorf("place %s: no thread of the kernel polls %s", c.Name, public)
		}
		pinPolling(private, directorCPU(), polling)
	}
	if c.process == nil {
		return nil
	}
	return pinProcess(c.PID(), directorCPU(), process)
}

// Run measures the parts that the options take.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("measure: network namespaces and AF_XDP need root")
	}
	o = o.WithDefaults()
	r := newResult(o)
	restore, err := changeMachine()
	if err != nil {
		return nil, err
	}
	err = r.parts(ctx, o)
	return r, errors.Join(err, restore())
}

func (r *Result) parts(ctx context.Context, o Options) error {
	run := map[string]func(context.Context, Options) error{
		"udp": r.packets, "latency": r.latency, "disturbed": r.disturbed, "tcp": r.tcp,
		"idle": r.idle, "memory": r.memory, "process": r.process,
	}
	for _, part := range Parts {
		if !o.takes(part) {
			continue
		}
		began := time.Now()
		err := run[part](ctx, o)
		if ctx.Err() != nil {
			return err
		}
		if err != nil { // the others are worth having
			r.miss("%s, to its end: %v", part, err)
		}
		o.say("%s: %.0f s", part, time.Since(began).Seconds())
	}
	r.loadAfter = load()
	return nil
}
