package bench

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WriteFiles writes the result and its plots into a directory, named by day,
// host and, if these are not all, the parts, and returns the path of the table.
func (r *Result) WriteFiles(dir, host string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	name := strings.Join(append([]string{r.began.Format(time.DateOnly), host}, r.options.Only...), "-")
	var plots []string
	for what, p := range r.plots() {
		file := name + "-" + what + ".svg"
		if err := os.WriteFile(filepath.Join(dir, file), []byte(p.SVG()), 0o644); err != nil {
			return "", err
		}
		plots = append(plots, file)
	}
	slices.Sort(plots)
	path := filepath.Join(dir, name+".md")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	r.Write(f, plots)
	return path, f.Close()
}

// quiet is the load below which a machine has nothing else to do.
const quiet = 1.5

// Write writes the result as Markdown; plots are file names beside it.
func (r *Result) Write(to io.Writer, plots []string) {
	w := writer{to}
	w.line("# lvx and its peers, %s\n", r.began.Format("2 January 2006 15:04 MST"))
	w.line("Made by `%s`: %d rounds, windows of %v, each figure of a round taken with all contenders in turn.", r.options.Command, r.options.Rounds, r.options.Window)
	w.line("Figures are medians [least .. most]; ratios are taken round by round. Compare ratios: rates are those of this machine and hour.\n")
	for _, row := range r.machine {
		w.line("- %s: %s", row[0], row[1])
	}
	w.line("- load after: %s (the measurement's own load included)", r.loadAfter)
	if before, err := strconv.ParseFloat(r.loadBefore, 64); err == nil && before > quiet {
		w.line("- **this machine was busy with other things**: a run on a quiet one (load below %.1f) is still to be made", quiet)
	}
	if r.mode != "" {
		w.line("- AF_XDP mode: %s, copy (veth has no zero copy)", r.mode)
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if r.absent[name] {
			w.line("- not installed: %s", kinds[name].program)
		}
	}
	for _, part := range r.missing {
		w.line("- not measured: %s", part)
	}
	if targets := r.targets(); len(targets) > 0 {
		w.line("\n## Targets\n")
		w.head("what", "target", "reached", "")
		for _, t := range targets {
			t.row(w)
		}
	}
	r.writePeers(w)
	r.writeRates(w)
	r.writeDelays(w)
	r.writeTroubles(w)
	r.writeCalls(w)
	r.writeCosts(w)
	r.writeLedgers(w)
	for _, plot := range plots {
		w.line("\n![%s](%s)", strings.TrimSuffix(plot, ".svg"), plot)
	}
}

type writer struct{ to io.Writer }

func (w writer) line(format string, args ...any) { fmt.Fprintf(w.to, format+"\n", args...) }

func (w writer) row(cells ...string) { w.line("| %s |", strings.Join(cells, " | ")) }

func (w writer) head(cells ...string) {
	w.row(cells...)
	w.line("|%s", strings.Repeat("---|", len(cells)))
}

// text writes a spread with so many digits after the point.
func (s Spread) text(digits int) string {
	if s == (Spread{}) {
		return ""
	}
	return fmt.Sprintf("%.*f [%.*f .. %.*f]", digits, s.Median, digits, s.Least, digits, s.Most)
}

// counts returns the numbers of flows that were measured, "every packet a new
// flow" last.
func (r *Result) counts() (flows []int) {
	for at := range r.rates {
		if !slices.Contains(flows, at.flows) && at.flows != fresh {
			flows = append(flows, at.flows)
		}
	}
	slices.Sort(flows)
	return append(flows, fresh)
}

func (r *Result) writeRates(w writer) {
	if len(r.rates) == 0 {
		return
	}
	w.line("\n## Small UDP frames (60 bytes, 64 with FCS), Mpps at the servers")
	w.line("\nThe generator has a core of its own. Of veth, frames are received on the core of whoever polls: \"%s\" gives lvx and bare two cores and nftables a share of the generator's; \"%s\" gives each one core and the generator the other; there lvx and bare are put before the thread that polls the NIC (nice %d and %d).", Apart, Alone, first, second)
	for _, p := range []Placement{Apart, Alone} {
		w.line("\n### %s\n", p)
		w.head("flows", "lvx", "bare forwarder", "nftables", "lvx / bare", "lvx / nftables", "ns of CPU a frame: lvx", "bare")
		for _, flows := range r.counts() {
			w.row(flowsText(flows), r.rate(p, flows, "lvx").text(3), r.rate(p, flows, "bare").text(3), r.rate(p, flows, "nft").text(3),
				r.held(p, flows, "bare"), r.held(p, flows, "nft"),
				r.perFrame(p, flows, "lvx").text(0), r.perFrame(p, flows, "bare").text(0))
		}
	}
	w.line("\nCPU time is that of the director's process; sending on veth includes the other end's receive work.")
}

// held writes the ratio of lvx to another and whether it is above its bar.
func (r *Result) held(p Placement, flows int, to string) string {
	s := r.ratio(p, flows, "lvx", to)
	text := s.text(2)
	bar, ok := bars[point{p, flows, to}]
	switch {
	case text == "" || !ok:
		return text
	case s.Median >= bar:
		return fmt.Sprintf("%s ≥ %.2f", text, bar)
	}
	return fmt.Sprintf("%s **below %.2f**", text, bar)
}

func (r *Result) writeDelays(w writer) {
	if len(r.delays) == 0 {
		return
	}
	w.line("\n## Delay from generator to servers, 1k flows, µs\n")
	w.line("Offered as a share of what the bare forwarder carries; \"from idle\" is %d frames a second, so that the director sleeps before each.\n", idleRate)
	w.head("offered", "director", "arrived", "half", "p99", "p99.9", "longest")
	rows := slices.Clone(r.delays)
	slices.SortStableFunc(rows, func(a, b delayRow) int { return int(1000 * (a.share - b.share)) })
	for _, d := range rows {
		offered := fmt.Sprintf("%.0f %% (%.2f Mpps)", 100*d.share, d.offered/1e6)
		if d.share == 0 {
			offered = "from idle"
		}
		w.row(append([]string{offered, d.contender}, d.cells()...)...)
	}
	if lvx, bare := r.delaysOf("lvx", 0), r.delaysOf("bare", 0); lvx.half != nil && bare.half != nil {
		w.line("\nThe first packet after idle takes %s of what it takes the bare forwarder (half of them), p99 %s.", over(lvx.half, bare.half).text(2), over(lvx.p99, bare.p99).text(2))
	}
}

// cells are the columns of delays.
func (d *delays) cells() []string {
	arrived := fmt.Sprintf("%.1f %%", 100*SpreadOf(d.arrived).Median)
	return []string{arrived, SpreadOf(d.half).text(1), SpreadOf(d.p99).text(1), SpreadOf(d.p999).text(1), SpreadOf(d.max).text(0)}
}

func (r *Result) writeTroubles(w writer) {
	if len(r.troubles) == 0 || len(r.troubles[0].p999) == 0 {
		return
	}
	quiet := r.troubles[0]
	w.line("\n## Delay at half load while something goes on, 1k flows, µs\n")
	w.line("Offered: %.2f Mpps, half of what the bare forwarder carries. The last column is p99.9 over that of the bare forwarder in quiet, round by round.\n", quiet.offered/1e6)
	w.head("what goes on", "how much, a window", "director", "arrived", "half", "p99", "p99.9", "longest", "p99.9 / bare")
	for _, row := range r.troubles {
		cells := append([]string{row.what, SpreadOf(row.amount).text(0), row.contender}, row.cells()...)
		w.row(append(cells, over(row.p999, quiet.p999).text(2))...)
	}
}

func (r *Result) writeCalls(w writer) {
	if len(r.calls) == 0 {
		return
	}
	w.line("\n## TCP, nobody pinned: clients, director and servers share all cores\n")
	w.line("Each director has a client and servers of its own, all alike: wrk with one thread and 32 connections, nginx with one process, iperf3 with one stream. AF_XDP carries frames of the MTU; the kernel hands on up to 64 KB at once unless the hosts send as onto a wire (nft-mtu).\n")
	w.head("director", "requests/s, keepalive", "p99 µs", "requests/s, a connection each", "p99 µs", "failed", "bulk Gbit/s", "what it is")
	for _, c := range r.calls {
		if c.keepalive == nil {
			continue
		}
		w.row(c.contender, SpreadOf(c.keepalive).text(0), SpreadOf(c.keep99).text(0), SpreadOf(c.fresh).text(0), SpreadOf(c.fresh99).text(0), fmt.Sprint(c.failed), SpreadOf(c.bulk).text(2), kinds[c.contender].about)
	}
}

func (r *Result) writeCosts(w writer) {
	if len(r.idleCPU) > 0 {
		s := SpreadOf(r.idleCPU)
		w.line("\n## Idle\n\nA director without traffic uses %.2f %% of a core over 10 s [%.2f .. %.2f] (bar: 1 %%).", 100*s.Median, 100*s.Least, 100*s.Most)
	}
	if len(r.memories) > 0 {
		w.line("\n## Memory, the table filled by connections that went through the director\n")
		w.head("", "capacity (--conns)", "connections", "bytes a connection", "maps in the kernel, MB", "resident set, MB", "of it anonymous, MB")
		for _, m := range r.memories {
			w.row(m.title, fmt.Sprint(m.capacity), fmt.Sprint(m.conns), fmt.Sprintf("%.1f", m.perConn()), megabytes(m.maps), megabytes(m.rss), megabytes(m.anonymous))
		}
		w.line("\nBytes a connection: what the kernel charges for the eBPF maps of the director, the table among them, less that of a director with a table for 1024 (bar: 90).")
	}
	if len(r.inMemory) > 0 {
		w.line("\n## In memory: `go test -bench` of dataplane and conntrack\n")
		w.head("benchmark", "ns a packet or call", "allocations")
		for _, b := range r.inMemory {
			w.row(b.name, SpreadOf(b.ns).text(1), fmt.Sprint(b.allocs))
		}
	}
}

// perConn is what a connection takes.
func (m memoryRow) perConn() float64 {
	const small = 1024
	return float64(m.maps-m.emptyMaps) / float64(m.capacity-small)
}

func megabytes(n int64) string { return fmt.Sprintf("%.0f", float64(n)/1e6) }

func (r *Result) writeLedgers(w writer) {
	if len(r.ledgers) == 0 {
		return
	}
	w.line("\n## Where the offered frames went, lvx, last round\n")
	w.head("", "offered", "taken by lvx", "arrived", "lost, by whom", "not counted by anybody")
	for _, l := range r.ledgers {
		var lost []string
		for _, name := range slices.Sorted(maps.Keys(l.Lost)) {
			lost = append(lost, fmt.Sprintf("%s %d", name, l.Lost[name]))
		}
		w.row(l.Title, fmt.Sprint(l.Offered), fmt.Sprint(l.Accepted), fmt.Sprint(l.Arrived), strings.Join(lost, ", "), fmt.Sprint(l.Rest()))
	}
}
