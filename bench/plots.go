package bench

// plots are the charts of a result, by what they show.
func (r *Result) plots() map[string]*Plot {
	all := map[string]*Plot{}
	if len(r.rates) > 0 {
		all["rate-apart"] = r.ratePlot(Apart)
		all["rate-alone"] = r.ratePlot(Alone)
	}
	if len(r.delays) > 0 {
		all["delay"] = r.delayPlot()
	}
	if len(r.memories) > 1 {
		all["memory"] = r.memoryPlot()
	}
	return all
}

func (r *Result) ratePlot(p Placement) *Plot {
	plot := &Plot{Title: "64-byte UDP, " + p.String(), X: "flows", Y: "Mpps at the servers"}
	counts := r.counts()
	for _, flows := range counts {
		plot.Labels = append(plot.Labels, flowsText(flows))
	}
	for _, name := range []string{"lvx", "bare", "nft"} {
		l := Line{Name: name}
		for i, flows := range counts {
			if s := r.rate(p, flows, name); s != (Spread{}) {
				l.X, l.Points = append(l.X, float64(i)), append(l.Points, s)
			}
		}
		plot.Lines = append(plot.Lines, l)
	}
	return plot
}

func (r *Result) delayPlot() *Plot {
	plot := &Plot{Title: "p99 of the delay, 1k flows", X: "Mpps offered", Y: "µs", LogY: true}
	for _, name := range []string{"lvx", "bare", "nft"} {
		l := Line{Name: name}
		for _, d := range r.delays {
			if d.contender == name && d.share > 0 {
				l.X, l.Points = append(l.X, d.offered/1e6), append(l.Points, SpreadOf(d.p99))
			}
		}
		plot.Lines = append(plot.Lines, l)
	}
	return plot
}

func (r *Result) memoryPlot() *Plot {
	plot := &Plot{Title: "Memory of a director with a full table", X: "connections", Y: "MB", LogX: true, LogY: true}
	kernel, process := Line{Name: "eBPF maps"}, Line{Name: "resident set"}
	rows := append([]memoryRow(nil), r.memories...)
	for _, capacity := range []int{100_000, 1_000_000, 10_000_000} {
		for _, m := range rows {
			if m.title == "IPv4" && m.capacity == capacity {
				for l, bytes := range map[*Line]int64{&kernel: m.maps, &process: m.rss} {
					v := float64(bytes) / 1e6
					l.X, l.Points = append(l.X, float64(m.conns)), append(l.Points, Spread{v, v, v})
				}
			}
		}
	}
	plot.Lines = []Line{kernel, process}
	return plot
}
