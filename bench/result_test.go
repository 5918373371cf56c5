package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/netlab"
)

func TestInfoIsRead(t *testing.T) {
	got, err := readInfo(`lvx devel, AF_XDP mode native, 12 of 1024 connections
frames: received 7 + originated 1 = transmitted 6 + dropped 2 + passed up 0 + held 0
  drop.no-hop            2
  nic.rx-dropped         13
`)
	must(t, err)
	for name, want := range map[string]int{"connections": 12, "received": 7, "drop.no-hop": 2, "nic.rx-dropped": 13} {
		if got[name] != want {
			t.Errorf("%s is %d, want %d", name, got[name], want)
		}
	}
	if _, err := readInfo("lvx 1, AF_XDP mode native, some connections\n"); err == nil {
		t.Error("a line without numbers is taken")
	}
}

func TestWrkIsRead(t *testing.T) {
	rate, p99, failed, err := readWrk("  Latency Distribution\n     50%  345.00us\n     99%    1.07ms\n" +
		"  Socket errors: connect 1, read 20, write 0, timeout 300\n  Non-2xx or 3xx responses: 4000\nRequests/sec:  73700.52\n")
	must(t, err)
	if rate != 73700.52 || p99 != 1070 || failed != 4321 {
		t.Errorf("%v requests/s, %v µs, %d failed", rate, p99, failed)
	}
	if _, _, _, err := readWrk("unable to connect"); err == nil {
		t.Error("no figures are taken for figures")
	}
}

func TestSpreads(t *testing.T) {
	for _, c := range []struct {
		figures []float64
		want    Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{5, 1, 3}, Spread{3, 1, 5}},
		{[]float64{4, 1, 2, 3}, Spread{2.5, 1, 4}},
	} {
		if got := SpreadOf(c.figures); got != c.want {
			t.Errorf("%v: %v, want %v", c.figures, got, c.want)
		}
	}
}

// sampleResult has figures in every part.
func sampleResult() *Result {
	r := newResult(Options{Say: io.Discard, Rounds: 2, Window: time.Second})
	for i, name := range []string{"lvx", "bare", "nft"} {
		for _, flows := range []int{1, 1000, fresh} {
			for _, p := range []Placement{Apart, Alone} {
				for range 2 {
					r.add(p, flows, name, Sample{Elapsed: time.Second, Arrived: uint64(1e6 / (i + 1)), CPU: 1e9})
				}
			}
		}
		row := r.delayRow(name, 0.5, 5e5)
		row.half, row.p99, row.p999, row.max = []float64{1}, []float64{20}, []float64{300}, []float64{4000}
		row = r.delayRow(name, 0, 50)
		row.half = []float64{float64(10 - i)}
	}
	for i, name := range []string{"lvx", "nft-mtu"} {
		r.calls = append(r.calls, callRow{contender: name, keepalive: []float64{9}, fresh: []float64{2}, keep99: []float64{3}, fresh99: []float64{4}, bulk: []float64{float64(4 + i)}})
	}
	for i, t := range troubles {
		p999 := []float64{100 * float64(i+1)}
		r.troubles = append(r.troubles, troubleRow{trouble: t, offered: 5e5, amount: []float64{7}, delays: delays{arrived: []float64{1}, p999: p999}})
	}
	r.readBenchmark("BenchmarkProcess/1000/in \t 5259333\t 70 ns/op\t 68.07 cpu-ns/packet\t 0 B/op\t 0 allocs/op\n")
	r.readBenchmark("BenchmarkProcess/1000/in \t 1\t 7000 ns/op\t 6800.07 cpu-ns/packet\t 0 B/op\t 9 allocs/op\n")
	r.readBenchmark("BenchmarkProcess/1000/in \t 5259333\t 70 ns/op\t 66.07 cpu-ns/packet\t 0 B/op\t 1 allocs/op\n")
	r.idleCPU = []float64{0.002}
	r.memories = []memoryRow{{title: "IPv4", capacity: 1_000_000, conns: 1_000_000, maps: 90e6, rss: 160e6, emptyMaps: 4e6}, {title: "IPv4", capacity: 100_000, conns: 100_000, maps: 9e6, rss: 60e6}}
	r.ledgers = []Ledger{{Title: "flood", Offered: 10, Accepted: 7, Arrived: 6, Lost: map[string]int{"drop.no-hop": 1, "nic.rx-dropped": 3}}}
	return r
}

func TestTheReportComparesWithTheBars(t *testing.T) {
	var b strings.Builder
	sampleResult().Write(&b, nil)
	for _, want := range []string{
		"| 1k flows | 1.000 [1.000 .. 1.000] | 0.500 [0.500 .. 0.500] | 0.333 [0.333 .. 0.333] | 2.00 [2.00 .. 2.00] ≥ 0.95 | 3.00 [3.00 .. 3.00] ≥ 1.20 |",
		"every packet a new flow", "0.20 % of a core", "| IPv4 | 1000000 | 1000000 | 86.1 |",
		"| flood | 10 | 7 | 6 | drop.no-hop 1, nic.rx-dropped 3 | 0 |",
		"| lvx / bare, 1k flows, receive work on the generator's core | ≥ 0.95 | 2.00 [2.00 .. 2.00] | reached |",
		"| lvx / nft-mtu, TCP, keepalive | ≥ 0.90 | 1.00 [1.00 .. 1.00] | reached |",
		"| lvx / nft-mtu, TCP, bulk | ≥ 0.80 | 0.80 [0.80 .. 0.80] | reached |",
		"| lvx / nft-mtu, TCP, a connection each | ≥ 1.10 | 1.00 [1.00 .. 1.00] | **missed** |",
		"| Process/1000/in in memory | ≤ 40 ns | 67 [66 .. 68] ns | **missed** |",
		"| Process/1000/in | 67.1 [66.1 .. 68.1] | 1 |",
		"| 1M connections expire | 7 [7 .. 7] | lvx | 100.0 % |",
		"| 5.00 [5.00 .. 5.00] |",
		"takes 1.11 [1.11 .. 1.11] of what it takes the bare forwarder",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestAllPeersStandInOneTable(t *testing.T) {
	var b strings.Builder
	sampleResult().Write(&b, nil)
	_, table, _ := strings.Cut(b.String(), "## All peers")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, want := range []string{
		"| director | 1k flows, Mpps | new flows | 1k flows, one core |",
		"| lvx | 1.000 | 1.000 | 1.000 | 300.0 | 10.0 | 2 | 9 | 4.00 | 3 |",
		"| nft-mtu |  |  |  |  |  | 2 | 9 | 5.00 | 3 |",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in%s", want, table)
		}
	}
	if strings.Contains(table, "haproxy") {
		t.Errorf("a peer without figures has a line:%s", table)
	}
}

func TestPartsAreTakenByName(t *testing.T) {
	o := Options{Only: []string{"tcp", "udp"}, Skip: []string{"udp"}}
	if must(t, o.Check()); !o.takes("tcp") || o.takes("udp") || o.takes("idle") {
		t.Errorf("%+v takes tcp %t, udp %t, idle %t", o, o.takes("tcp"), o.takes("udp"), o.takes("idle"))
	}
	if err := (Options{Only: []string{"pcp"}}).Check(); err == nil {
		t.Error("a part that does not exist is taken")
	}
}

func TestWhoFailsIsALineAndTheOthersGoOn(t *testing.T) {
	r := newResult(Options{Say: io.Discard})
	f := r.newField("tries")
	for _, name := range []string{"lvx", "nft"} {
		lab, err := netlab.New()
		if err != nil {
			t.Skip("needs root: network namespaces")
		}
		f.all = append(f.all, &Contender{Name: name, Site: &Site{Lab: lab}})
	}
	defer f.close()
	var went []string
	for range 2 {
		must(t, f.each(t.Context(), func(c *Contender) error {
			went = append(went, c.Name)
			if c.Name == "lvx" {
				return errors.New("fell over\nfor no reason")
			}
			return nil
		}))
	}
	if got := strings.Join(went, " "); got != "lvx nft nft" || f.find("lvx") != nil || f.find("nft") == nil {
		t.Errorf("%s went", got)
	}
	if len(r.missing) != 1 || r.missing[0] != "tries of lvx, from here on: fell over; for no reason" {
		t.Errorf("missing: %q", r.missing)
	}
}

func TestPlotsAreXMLWithinTheirFrame(t *testing.T) {
	for name, p := range sampleResult().plots() {
		d := xml.NewDecoder(strings.NewReader(p.SVG()))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if strings.Contains(p.SVG(), "NaN") || strings.Contains(p.SVG(), "Inf") {
			t.Errorf("%s has places that are no numbers:\n%s", name, p.SVG())
		}
	}
	empty := Plot{Title: "nothing"}
	if !strings.Contains(empty.SVG(), "nothing") {
		t.Error("an empty plot has no title")
	}
}

func TestSettingsOfTheMachineComeBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: settings of the machine")
	}
	if _, err := os.Stat(settingsBefore); err == nil {
		t.Skip("a measurement is running")
	}
	now := func() (values string) {
		for path := range machineSettings {
			text, _ := os.ReadFile(path)
			values += path + "=" + string(text)
		}
		lines := strings.SplitAfter(values, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "")
	}
	before := now()
	_, err := changeMachine() // by a run that is killed
	must(t, err)
	restore, err := changeMachine()
	must(t, err)
	must(t, restore())
	if after := now(); after != before {
		t.Errorf("settings were\n%sand are\n%s", before, after)
	}
}
