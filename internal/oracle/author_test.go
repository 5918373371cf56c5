package oracle

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

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
	talks    []*talk                      // control connections of FTP
	tokens   map[netip.Addr]time.Duration // until when the errors of a host are used up
	over     bool                         // nothing more can be said of what the kernel has
}

// virtual is a service that is configured, with its servers.
type virtual struct {
	name      string // as commands name it
	proto     uint8
	at        netip.AddrPort
	scheduler string
	options   string   // persistence, one-packet scheduling
	marks     []string // rules by which packets are for it, which has no address then
	servers   []netip.AddrPort
	limits    map[netip.AddrPort]string // thresholds, which an edit has to repeat
}

// write makes the scenario of a seed: the first draft that is long enough.
func write(t testing.TB, seed uint64) (s *record.Scenario) {
	for draft := range uint64(8) {
		s = (&author{Rand: rand.New(rand.NewPCG(seed, 1+draft)), twin: newTwin(t, nil), tokens: map[netip.Addr]time.Duration{},
			scenario: &record.Scenario{Head: record.Head{Scenario: fmt.Sprintf("random-%d", seed), Seed: seed}}}).write()
		if len(s.Steps) > 45 {
			break
		}
	}
	return s
}

func (a *author) write() *record.Scenario {
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

// add appends a step that no timer runs out at, and lets the twin take it.
func (a *author) add(s record.Step) {
	for s.Sleep == 0 && !a.over {
		until := a.timers.doubt(a.now, 0)
		if until == 0 {
			break
		}
		a.sleep((until - a.now).Truncate(tick) + tick)
	}
	if a.over {
		return
	}
	a.scenario.Add(s)
	switch {
	case len(s.Frames) > 0:
		_ = a.arrive(s.NIC, s.Frames)
	case len(s.Command) > 0:
		_ = a.command(s.Command, s.Input)
	}
	a.advance(epoch + a.scenario.End())
	a.spend(s.Frames)
	if a.over = a.timers.confused != ""; a.over {
		a.scenario.Steps = a.scenario.Steps[:len(a.scenario.Steps)-1]
	}
}

// spend notes who may have been told of an error by now, by lvx or by the
// kernel's local stack, and lets time go by before a host has been told too
// much: both would stop, but not at the same error.
func (a *author) spend(frames []record.Frame) {
	told := map[netip.Addr]bool{}
	for _, l := range a.sent() {
		if isError(l.Frame) {
			told[addressOf(addressee(l.Frame))] = true
		}
	}
	for range a.up {
		told[addressOf(sender(frames[0]))] = true
	}
	a.up = a.up[:0]
	for host := range told {
		a.tokens[host] = max(a.tokens[host], a.now) + 1100*time.Millisecond
		if ahead := a.tokens[host] - a.now; ahead > (burst-2)*time.Second {
			a.sleep(2 * time.Second)
		}
	}
}

func addressOf(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
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

// pause lets time go by.
func (a *author) pause() {
	// Long ones are rare: what takes the kernel longest is idle time.
	seconds := choose(a, 1, 2, 5, 9, 12, 12, 15, 20, 31, 45, 62)
	switch a.IntN(40) {
	case 0:
		seconds = choose(a, 200, 310, 345, 600, 890, 1020)
	case 1, 2, 3:
		seconds = choose(a, 70, 100, 118, 125, 140)
	}
	a.sleep(time.Duration(seconds) * time.Second)
}

func choose[T any](a *author, from ...T) T { return from[a.IntN(len(from))] }

// begin configures services.
func (a *author) begin() {
	names := []string{"-t 203.0.113.100:80", "-t 203.0.113.100:81", "-u 203.0.113.100:53", "-t 203.0.113.101:80", "-t [2001:db8:1::100]:80",
		"-u [2001:db8:1::100]:53", "--sctp-service 203.0.113.100:132", "--sctp-service [2001:db8:1::100]:132", "-t 203.0.113.101:0", "-u 203.0.113.101:0",
		"-f 7", "-f 8", "-f 9 -6"}
	a.Shuffle(len(names), func(i, k int) { names[i], names[k] = names[k], names[i] })
	var input strings.Builder
	for _, name := range names[:1+a.IntN(3)] {
		v := newVirtual(name)
		a.arrange(&v)
		fmt.Fprintf(&input, "-A %s\n", v.text())
		for range 1 + a.IntN(4) {
			if rip := a.server(&v); !slices.Contains(v.servers, rip) {
				fmt.Fprintf(&input, "-a %s\n", a.serverText(&v, rip))
			}
		}
		a.services = append(a.services, v)
		for _, rule := range v.marks {
			a.remark("packets marked", "add", rule)
		}
	}
	if a.IntN(4) == 0 {
		options := choose(a, "", "", " -p 200", " -p 200 -M 255.255.0.1")
		input.WriteString("-A -t 203.0.113.101:21 -s rr" + options + "\n-a -t 203.0.113.101:21 -r 10.1.0.11:21 -m\n-a -t 203.0.113.101:21 -r 10.1.0.12:2121 -m\n")
		a.talks = []*talk{}
	}
	for a.IntN(3) == 0 {
		a.changeSysctl("sysctl changed")
	}
	a.add(record.Step{Kind: "rules", Command: []string{"ipvsadm", "-R"}, Input: input.String()})
}

func newVirtual(name string) virtual {
	if v, ok := byMark[name]; ok {
		v.name, v.limits = name, map[netip.AddrPort]string{}
		return v
	}
	words := strings.Fields(name)
	return virtual{name: name, proto: map[string]uint8{"-t": protoTCP, "-u": protoUDP, "--sctp-service": protoSCTP}[words[0]],
		at: netip.MustParseAddrPort(words[1]), limits: map[netip.AddrPort]string{}}
}

// text is the service as commands say it.
func (v *virtual) text() string { return v.name + " -s " + v.scheduler + v.options }

// arrange chooses scheduler and options of a service. Debian builds no twos,
// which draws lots.
func (a *author) arrange(v *virtual) {
	v.scheduler = choose(a, "rr", "rr", "rr", "wrr", "wrr", "wrr", "wlc", "wlc", "lc", "sed", "nq", "fo", "ovf", "lblc", "lblcr", "dh",
		"sh", "sh -b sh-port", "sh -b sh-fallback", "sh -b sh-fallback,sh-port", "mh", "mh -b mh-port", "mh -b mh-fallback", "mh -b mh-fallback,mh-port")
	v.options = ""
	// A minute is when templates live on in any case; who lives as long as
	// the connections it controls is a matter for scripts.
	if v.at.Port() == 0 || a.IntN(4) == 0 {
		v.options = fmt.Sprintf(" -p %d", choose(a, 20, 35, 40, 90, 200, 330))
		switch masked := a.IntN(3) == 0; {
		case masked && v.at.Addr().Is6():
			v.options += " -M " + choose(a, "64", "127", "128")
		case masked:
			v.options += " -M " + choose(a, "255.255.255.0", "255.255.255.254", "255.255.255.255", "0.0.0.0", "255.0.255.1", "0.0.0.3")
		}
	}
	if v.proto == protoUDP && v.at.Port() != 0 && a.IntN(6) == 0 {
		v.options += " -o"
	}
}

// serverText is a server with its weight as commands say it; it is remembered
// with its thresholds.
func (a *author) serverText(v *virtual, rip netip.AddrPort) string {
	if !slices.Contains(v.servers, rip) {
		v.servers = append(v.servers, rip)
		v.limits[rip] = choose(a, "", "", "", "", "", " -x 1", " -x 2", " -x 3 -y 1", " -x 4", " -x 5 -y 2")
	}
	return fmt.Sprintf("%s -r %v -m -w %d%s", v.name, rip, a.weight(), v.limits[rip])
}

func (a *author) weight() int { return choose(a, 1, 1, 1, 2, 3, 5, 10, 0) }

// server chooses a real server: most on the private network, some in the
// clients' own, one behind a narrow route, one without a route.
func (a *author) server(v *virtual) netip.AddrPort {
	port := choose(a, 8080, 8080, v.at.Port())
	if len(v.marks) > 0 && a.IntN(2) == 0 {
		port = 0
	}
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
	all := slices.DeleteFunc(a.conns(), func(c conn) bool {
		return c.client.Port() == 0 || c.isControl() || c.isData() || proto != "" && c.proto != proto
	})
	if len(all) == 0 {
		return c, false
	}
	slices.SortFunc(all, func(a, b conn) int { return strings.Compare(a.String(), b.String()) })
	return choose(a, all...), true
}

func protoOf(c conn) uint8 {
	for proto, name := range protoNames {
		if name == c.proto {
			return proto
		}
	}
	panic("no protocol is called " + c.proto)
}
