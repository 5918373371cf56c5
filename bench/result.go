package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Result is all figures of one run.
type Result struct {
	options    Options
	began      time.Time
	machine    [][2]string
	mode       string // of lvx's sockets
	absent     map[string]bool
	missing    []string // parts that could not be measured, and why
	loadBefore string
	loadAfter  string

	rates    map[point][]Sample
	ledgers  []Ledger
	delays   []delayRow
	troubles []troubleRow
	calls    []callRow
	idleCPU  []float64 // share of a core
	memories []memoryRow
	inMemory []benchmark
}

// point is one cell of the table of rates.
type point struct {
	placement Placement
	flows     int
	contender string
}

func newResult(o Options) *Result {
	r := &Result{options: o, began: time.Now(), machine: machine(), loadBefore: load(), absent: map[string]bool{}, rates: map[point][]Sample{}}
	for name, k := range kinds {
		r.absent[name] = !k.installed()
	}
	return r
}

// miss notes what could not be measured, and why.
func (r *Result) miss(format string, args ...any) {
	what := strings.TrimSpace(fmt.Sprintf(format, args...))
	r.missing = append(r.missing, strings.ReplaceAll(what, "\n", "; "))
	r.options.say("not measured: %s", what)
}

// learnMode asks the first lvx in which mode its sockets are.
func (r *Result) learnMode(c *Contender) {
	if r.mode == "" && strings.HasPrefix(c.Name, "lvx") {
		text, _ := c.infoText()
		r.mode = readMode(text)
	}
}

func (r *Result) add(p Placement, flows int, contender string, s Sample) {
	at := point{p, flows, contender}
	r.rates[at] = append(r.rates[at], s)
	r.options.say("  %s, %s: %-5s %.3f Mpps", p, flowsText(flows), contender, s.Rate()/1e6)
}

func flowsText(flows int) string {
	switch {
	case flows == fresh:
		return "every packet a new flow"
	case flows == 1:
		return "1 flow"
	case flows >= 1_000_000 && flows%1_000_000 == 0:
		return fmt.Sprintf("%dM flows", flows/1_000_000)
	case flows >= 1000 && flows%1000 == 0:
		return fmt.Sprintf("%dk flows", flows/1000)
	}
	return fmt.Sprintf("%d flows", flows)
}

// Spread is the median of some figures, the smallest and the largest.
type Spread struct{ Median, Least, Most float64 }

// SpreadOf returns the spread of figures, all zero for none.
func SpreadOf(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Least: sorted[0], Most: sorted[n-1]}
}

// over is the spread of the ratios of figures taken in the same rounds.
func over(a, b []float64) Spread {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			ratios = append(ratios, a[i]/b[i])
		}
	}
	return SpreadOf(ratios)
}

// rate is the spread of a cell in Mpps.
func (r *Result) rate(p Placement, flows int, contender string) Spread {
	var all []float64
	for _, s := range r.rates[point{p, flows, contender}] {
		all = append(all, s.Rate()/1e6)
	}
	return SpreadOf(all)
}

// ratio is the spread of the ratios of two contenders, taken round by round:
// what disturbed one round disturbed both.
func (r *Result) ratio(p Placement, flows int, of, to string) Spread {
	a, b := r.rates[point{p, flows, of}], r.rates[point{p, flows, to}]
	var all []float64
	for i := range min(len(a), len(b)) {
		if b[i].Arrived > 0 {
			all = append(all, a[i].Rate()/b[i].Rate())
		}
	}
	return SpreadOf(all)
}

// perFrame is what the director's process spent on a frame, in nanoseconds.
func (r *Result) perFrame(p Placement, flows int, contender string) Spread {
	var all []float64
	for _, s := range r.rates[point{p, flows, contender}] {
		if s.CPU > 0 && s.Arrived > 0 {
			all = append(all, float64(s.CPU)/float64(s.Arrived))
		}
	}
	return SpreadOf(all)
}
