package bench

import (
	"fmt"
	"slices"
)

// target is a figure that the project holds itself to.
type target struct {
	what    string
	bound   float64
	most    bool // bound is the most, not the least
	digits  int
	unit    string
	reached Spread
}

func (t target) held() bool {
	if t.most {
		return t.reached.Median <= t.bound
	}
	return t.reached.Median >= t.bound
}

func (t target) row(w writer) {
	sign, verdict := "≥", "reached"
	if t.most {
		sign = "≤"
	}
	if !t.held() {
		verdict = "**missed**"
	}
	w.row(t.what, fmt.Sprintf("%s %.*f%s", sign, t.digits, t.bound, t.unit), t.reached.text(t.digits)+t.unit, verdict)
}

// bars are the ratios of rates that the project holds itself to.
var bars = map[point]float64{
	{Apart, 1, "bare"}: 0.95, {Apart, 1000, "bare"}: 0.95, {Apart, 100_000, "bare"}: 0.92, {Apart, 1_000_000, "bare"}: 0.90,
	{Apart, 1000, "nft"}: 1.2, {Apart, 1_000_000, "nft"}: 1.65, {Apart, fresh, "nft"}: 2.2,
	{Alone, 1000, "nft"}: 0.8, {Alone, 1_000_000, "nft"}: 1.0, {Alone, fresh, "nft"}: 1.4,
}

// targets are those of which something was measured.
func (r *Result) targets() []target {
	all := slices.Concat(r.rateTargets(), r.callTargets(), r.costTargets(), r.memoryTargets())
	return slices.DeleteFunc(all, func(t target) bool { return t.reached == Spread{} })
}

func (r *Result) rateTargets() (all []target) {
	for _, p := range []Placement{Apart, Alone} {
		for _, to := range []string{"bare", "nft"} {
			for _, flows := range r.counts() {
				if bar, ok := bars[point{p, flows, to}]; ok {
					what := fmt.Sprintf("lvx / %s, %s, %s", to, flowsText(flows), p)
					all = append(all, target{what: what, bound: bar, digits: 2, reached: r.ratio(p, flows, "lvx", to)})
				}
			}
		}
	}
	return all
}

func (r *Result) callTargets() []target {
	lvx, nft := r.call("lvx"), r.call("nft-mtu")
	if lvx == nil || nft == nil {
		return nil
	}
	return []target{
		{what: "lvx / nft-mtu, TCP, a connection each", bound: 1.1, digits: 2, reached: over(lvx.fresh, nft.fresh)},
		{what: "lvx / nft-mtu, TCP, keepalive", bound: 0.9, digits: 2, reached: over(lvx.keepalive, nft.keepalive)},
		{what: "lvx / nft-mtu, TCP, bulk", bound: 0.8, digits: 2, reached: over(lvx.bulk, nft.bulk)},
		{what: "lvx / nft-mtu, p99, a connection each", bound: 1.1, most: true, digits: 2, reached: over(lvx.fresh99, nft.fresh99)},
		{what: "lvx / nft-mtu, p99, keepalive", bound: 1.1, most: true, digits: 2, reached: over(lvx.keep99, nft.keep99)},
	}
}

func (r *Result) costTargets() []target {
	var idle []float64
	for _, share := range r.idleCPU {
		idle = append(idle, 100*share)
	}
	all := []target{{what: "idle director, of a core", bound: 1, most: true, digits: 2, unit: " %", reached: SpreadOf(idle)}}
	for _, m := range r.memories {
		what := fmt.Sprintf("%d connections, %s", m.capacity, m.title)
		all = append(all, target{what: what + ", bytes each", bound: 90, most: true, digits: 1, reached: SpreadOf([]float64{m.perConn()})})
		if m.capacity == 10_000_000 {
			all = append(all, target{what: what + ", resident", bound: 1000, most: true, unit: " MB", reached: SpreadOf([]float64{float64(m.rss) / 1e6})})
		}
	}
	return all
}

func (r *Result) memoryTargets() (all []target) {
	for _, t := range []struct {
		name  string
		bound float64
	}{
		{"Process/1000/in", 40}, {"Process/1000/out", 40}, {"Process/1000000/in", 100}, {"Process/1000000/out", 100},
		{"Process/10000000/in", 130}, {"Process/10000000/out", 130},
		{"NewConnection/udp", 350}, {"NewConnection/syn", 350},
	} {
		for _, b := range r.inMemory {
			if b.name == t.name {
				all = append(all, target{what: b.name + " in memory", bound: t.bound, most: true, unit: " ns", reached: SpreadOf(b.ns)})
			}
		}
	}
	return all
}

// writePeers writes what every contender reached in each part, one line each.
func (r *Result) writePeers(w writer) {
	if len(r.rates)+len(r.calls)+len(r.delays)+len(r.troubles) == 0 {
		return
	}
	w.line("\n## All peers\n")
	rows := [][]string{peerColumns}
	for _, name := range []string{"lvx", "lvx-batch", "bare", "nft", "nft-mtu", "haproxy", "nginx", "direct"} {
		if cells := r.peer(name); slices.ContainsFunc(cells, func(s string) bool { return s != "" }) {
			rows = append(rows, slices.Concat([]string{name}, cells, []string{kinds[name].about}))
		}
	}
	rows = withoutEmptyColumns(rows)
	w.head(rows[0]...)
	for _, row := range rows[1:] {
		w.row(row...)
	}
}

var peerColumns = []string{
	"director", "1k flows, Mpps", "1M flows", "new flows", "1k flows, one core", "p99.9 at half load, µs", "half from idle, µs",
	"TCP, a connection each, 1/s", "TCP, keepalive, 1/s", "bulk, Gbit/s", "p99 of keepalive, µs", "what it is",
}

// withoutEmptyColumns leaves out the columns that have nothing below the first
// row.
func withoutEmptyColumns(rows [][]string) [][]string {
	kept := make([][]string, len(rows))
	for column := range rows[0] {
		if slices.ContainsFunc(rows[1:], func(row []string) bool { return row[column] != "" }) {
			for i, row := range rows {
				kept[i] = append(kept[i], row[column])
			}
		}
	}
	return kept
}

func (r *Result) peer(name string) []string {
	median := func(digits int, s Spread) string {
		if s == (Spread{}) {
			return ""
		}
		return fmt.Sprintf("%.*f", digits, s.Median)
	}
	loaded, idle := r.delaysOf(name, 0.5), r.delaysOf(name, 0)
	c := r.call(name)
	if c == nil {
		c = &callRow{}
	}
	return []string{
		median(3, r.rate(Apart, 1000, name)), median(3, r.rate(Apart, 1_000_000, name)), median(3, r.rate(Apart, fresh, name)), median(3, r.rate(Alone, 1000, name)),
		median(1, SpreadOf(loaded.p999)), median(1, SpreadOf(idle.half)),
		median(0, SpreadOf(c.fresh)), median(0, SpreadOf(c.keepalive)), median(2, SpreadOf(c.bulk)), median(0, SpreadOf(c.keep99)),
	}
}
