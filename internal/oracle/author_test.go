package oracle

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/packet"
)

// author writes a random scenario. It carries a twin along, so that it knows
// which connections there are and in which state, and can choose packets that
// matter. A twin that is wrong makes scenarios only less interesting.
type author struct {
	*rand.Rand
	*twin
	scenario *record.Scenario
	services []virtual
}

// virtual is a service that is configured, with its servers.
type virtual struct {
	name    string // as commands name it
	proto   uint8
	at      netip.AddrPort
	servers []netip.AddrPort
}

// write makes the scenario of a seed.
func write(t testing.TB, seed uint64) *record.Scenario {
	a := &author{Rand: rand.New(rand.NewPCG(seed, 1)), twin: newTwin(t, nil),
		scenario: &record.Scenario{Head: record.Head{Scenario: fmt.Sprintf("random-%d", seed), Seed: seed}}}
	a.sleep(10 * time.Second) // limits of ICMP errors recover
	a.begin()
	for range 3 + a.IntN(3) {
		for range 12 + a.IntN(14) {
			a.event()
		}
		a.list()
		a.pause()
		a.list()
	}
	return a.scenario
}

// add appends a step and lets the twin take it.
func (a *author) add(s record.Step) {
	a.scenario.Steps = append(a.scenario.Steps, s)
	took := 6 * time.Millisecond
	switch {
	case len(s.Frames) > 0:
		_ = a.arrive(s.NIC, s.Frames)
	case len(s.Command) > 0:
		_ = a.command(s.Command, s.Input)
		took = 30 * time.Millisecond
	case s.Sleep > 0:
		took = s.Sleep
	}
	a.advance(a.now + took)
	a.sent()
	a.up = a.up[:0]
}

func (a *author) sleep(d time.Duration) { a.add(record.Step{Kind: "time goes by", Sleep: d}) }

func (a *author) list() { a.add(record.Step{Kind: "list", List: true}) }

func (a *author) order(kind, line string) {
	a.add(record.Step{Kind: kind, Command: append([]string{"ipvsadm"}, strings.Fields(line)...)})
}

func (a *author) send(kind string, p *probe) {
	next, ok := routes.Next(packet.AddrFrom(p.src.Addr()), packet.Addr{}, 0, 0)
	if !ok && p.src.Addr() == noRoute {
		return // nobody is there
	}
	at := record.NIC(next.Link)
	a.add(record.Step{Kind: kind, NIC: at, Frames: p.frames(at)})
}

// pause lets time go by, but ends it when no timer is about to run out: the
// kernel's may be late by an eighth of its length, and one second is for the
// packets that follow.
func (a *author) pause() {
	seconds := []int{1, 2, 5, 9, 12, 20, 31, 45, 58, 62, 70, 100, 118, 125, 140, 200, 290, 310, 345, 600, 890, 1020}
	a.Shuffle(len(seconds), func(i, k int) { seconds[i], seconds[k] = seconds[k], seconds[i] })
	now := conntrack.Tick(a.now / tick)
	for _, s := range seconds {
		safe := true
		a.table.Walk(0, 1<<30, func(_ conntrack.Index, r *conntrack.Record) {
			late := int(now) + s*10 - int(r.LastSeen+r.Timeout)
			safe = safe && (late < -30 || late > int(r.Timeout)/8+10)
		})
		// Long ones are rare: what takes the kernel longest is idle time.
		if safe && (s < 40 || s < 150 && a.IntN(3) == 0 || a.IntN(16) == 0) {
			a.sleep(time.Duration(s) * time.Second)
			return
		}
	}
}

func choose[T any](a *author, from ...T) T { return from[a.IntN(len(from))] }

// begin configures services.
func (a *author) begin() {
	names := []string{"-t 203.0.113.100:80", "-t 203.0.113.100:81", "-u 203.0.113.100:53", "-t 203.0.113.101:80", "-t [2001:db8:1::100]:80", "-u [2001:db8:1::100]:53"}
	a.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	var input strings.Builder
	for _, name := range names[:1+a.IntN(3)] {
		v := newVirtual(name)
		fmt.Fprintf(&input, "-A %s -s %s\n", name, a.scheduler())
		for range 1 + a.IntN(4) {
			if rip := a.server(&v); !slices.Contains(v.servers, rip) {
				v.servers = append(v.servers, rip)
				fmt.Fprintf(&input, "-a %s -r %v -m -w %d\n", name, rip, a.weight())
			}
		}
		a.services = append(a.services, v)
	}
	a.add(record.Step{Kind: "rules", Command: []string{"ipvsadm", "-R"}, Input: input.String()})
}

func newVirtual(name string) virtual {
	words := strings.Fields(name)
	return virtual{name: name, proto: map[string]uint8{"-t": protoTCP, "-u": protoUDP}[words[0]], at: netip.MustParseAddrPort(words[1])}
}

func (a *author) scheduler() string {
	return choose(a, "rr", "rr", "wrr", "wrr", "wlc", "wlc", "mh", "mh -b mh-port", "mh -b mh-fallback")
}

func (a *author) weight() int { return choose(a, 1, 1, 1, 2, 3, 5, 10, 0) }

// server chooses a real server: most on the private network, some in the
// clients' own, one behind a narrow route, one without a route.
func (a *author) server(v *virtual) netip.AddrPort {
	port := choose[uint16](a, 8080, 8080, v.at.Port())
	addr := fmt.Sprintf("10.1.0.%d", 11+a.IntN(5))
	switch {
	case v.at.Addr().Is6():
		addr = fmt.Sprintf("fd00:1::%d", 11+a.IntN(5))
	case a.IntN(8) == 0:
		addr = fmt.Sprintf("203.0.113.%d", 31+a.IntN(3))
	case a.IntN(40) == 0:
		addr = noRoute.String()
	}
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

// client chooses an endpoint out of few, so that ports are used again.
func (a *author) client(v6 bool) netip.AddrPort {
	addr := choose(a, "203.0.113.50", "203.0.113.51", "203.0.113.52", "203.0.113.53", "198.51.100.10", "198.51.100.11")
	if v6 {
		addr = fmt.Sprintf("2001:db8:1::%d", 50+a.IntN(4))
	}
	return netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(40000+a.IntN(6)))
}

// any returns a service; those of proto if there are some and proto is not 0.
func (a *author) any(proto uint8) (v virtual, ok bool) {
	var fit []virtual
	for _, s := range a.services {
		if proto == 0 || s.proto == proto {
			fit = append(fit, s)
		}
	}
	if len(fit) == 0 {
		return v, false
	}
	return choose(a, fit...), true
}

// some returns a connection of the twin, of a protocol if that is not "".
func (a *author) some(proto string) (c conn, ok bool) {
	all := slices.DeleteFunc(a.conns(), func(c conn) bool { return proto != "" && c.proto != proto })
	if len(all) == 0 {
		return c, false
	}
	slices.SortFunc(all, func(a, b conn) int { return strings.Compare(a.String(), b.String()) })
	return choose(a, all...), true
}

func protoOf(c conn) uint8 {
	if c.proto == "UDP" {
		return protoUDP
	}
	return protoTCP
}
