package lvx

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/bpf"
	"github.com/lvx-lb/lvx/internal/netlab"
	"github.com/lvx-lb/lvx/service"
)

// marked makes the edits of a service by firewall mark.
func marked(mark uint32) (edits []service.Edit) {
	v := service.Service{Key: service.Key{Mark: mark}, Scheduler: "rr"}
	return []service.Edit{{Op: service.AddService, Service: v}, {Op: service.AddServer, Service: v, Server: server(int(mark))}}
}

func rule(mark uint32, prefix string, port uint16) service.Edit {
	return service.Edit{Op: service.AddMark, Mark: service.MarkRule{Mark: mark, Prefix: netip.MustParsePrefix(prefix), From: port, To: port}}
}

// scattered makes rules for more ranges of ports than a zone has room for.
func scattered(mark uint32) (edits []service.Edit) {
	for i := range uint16(65) {
		edits = append(edits, rule(mark, "203.0.113.0/24", 100+2*i))
	}
	return edits
}

func TestRulesThatSteeringCannotHoldLeaveNothingBehind(t *testing.T) {
	d := forwarding(t, false)
	apply(t, d, append(marked(5), rule(5, "203.0.113.0/24", 80))...)
	if err := d.Apply(t.Context(), scattered(5)); !errors.Is(err, bpf.ErrFull) {
		t.Fatalf("too many ranges: %v, want %v", err, bpf.ErrFull)
	}
	if rules, err := d.Marks(t.Context()); err != nil || len(rules) != 1 {
		t.Errorf("rules %v, %v, want the first", rules, err)
	}
	apply(t, d, rule(5, "203.0.113.0/24", 443))
}

// resting opens a director between two veths that does nothing by itself.
func resting(t *testing.T) (d *Director) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces and AF_XDP need root")
	}
	net, err := netlab.TwoNIC()
	must(t, err)
	t.Cleanup(func() { net.Close() })
	must(t, net.Director.Do(func() (err error) {
		d, err = New(Config{
			NICs: []string{net.Public, net.Private}, Conns: 1000, Rings: 64, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		return err
	}))
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

// A connection may have come by a rule that was there again for a moment, so
// whoever looks for connections begins anew then.
func TestAChangeOfRulesEndsTheLookForThoseThatNobodyNeeds(t *testing.T) {
	d := resting(t)
	step := func(due, want bool) {
		t.Helper()
		if more, err := d.goOnForgetting(due); err != nil || more != want {
			t.Fatalf("more to look at: %v, %v; want %v", more, err, want)
		}
	}
	past := func() []service.MarkRule {
		d.mu.Lock()
		defer d.mu.Unlock()
		return slices.Clone(d.marking.past)
	}
	apply(t, d, append(marked(5), rule(5, "203.0.113.0/24", 80), rule(5, "203.0.113.0/24", 81))...)
	apply(t, d, service.Edit{Op: service.ClearMarks})
	step(false, false) // not due
	step(true, true)
	step(false, true) // the connections of the only worker
	apply(t, d, rule(5, "203.0.113.0/24", 80))
	step(false, false)
	if n := len(past()); n != 2 {
		t.Errorf("%d past rules, want both", n)
	}
	apply(t, d, service.Edit{Op: service.ClearMarks})
	must(t, d.forgetMarks(true))
	if rules := past(); len(rules) != 0 {
		t.Errorf("past rules that no connection needs: %v", rules)
	}
}

// What a director costs that has nothing to do, with as many rules as it may have.
func BenchmarkSecond(b *testing.B) {
	d := forwarding(b, false)
	edits, cpu := marked(5), time.Duration(0)
	for i := range service.MaxMarks {
		a := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		edits = append(edits, rule(5, netip.PrefixFrom(a, 32).String(), 80))
	}
	apply(b, d, edits...)
	for b.Loop() {
		before := used()
		d.everySecond(1)
		cpu += used() - before
	}
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/second")
}

// What an edit costs that has nothing to do with as many rules as there may be.
func BenchmarkEditBesideMarks(b *testing.B) {
	d := forwarding(b, false)
	edits, cpu := marked(5), time.Duration(0)
	for i := range service.MaxMarks {
		a := netip.AddrFrom4([4]byte{203, byte(i >> 8), byte(i), 0})
		edits = append(edits, rule(5, netip.PrefixFrom(a, 24).String(), 80))
	}
	apply(b, d, append(edits, lines(1)...)...)
	edit := service.Edit{Op: service.EditServer, Service: lines(1)[0].Service, Server: server(0)}
	for b.Loop() {
		edit.Server.Weight++
		cpu += apply(b, d, edit)
	}
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/edit")
}

// What an edit costs where many services have the same servers.
func BenchmarkEditOfSharedServers(b *testing.B) {
	for _, marks := range []int{0, 1} {
		b.Run(fmt.Sprint(marks), func(b *testing.B) {
			d := forwarding(b, false)
			edits, cpu := marked(5), time.Duration(0)
			edits = append(edits, rule(5, "203.1.0.0/24", 80))[:3*marks]
			all := lines(1000)
			for i := range all {
				if all[i].Op == service.AddServer {
					all[i].Server = server(i % 11)
				}
			}
			apply(b, d, append(edits, all...)...)
			edit := all[1]
			edit.Op = service.EditServer
			for b.Loop() {
				edit.Server.Weight++
				cpu += apply(b, d, edit)
			}
			b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/edit")
		})
	}
}
