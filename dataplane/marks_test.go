package dataplane

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// The twin reads the rules one after the other. Mark 3 has no service.
func TestMarksFindWhatRulesSay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	keys := []service.Key{{Mark: 1}, {Mark: 2}, {Mark: 1, Address: netip.AddrPortFrom(netip.IPv6Unspecified(), 0)}}
	services := map[service.Key]int32{}
	for id, k := range keys {
		services[k] = int32(id)
	}
	for range 500 {
		var rules []service.MarkRule
		for range r.IntN(10) {
			text := fmt.Sprintf("%d to %s %s", 1+r.IntN(3), pick("0.0.0.0/0", "192.0.2.0/24", "192.0.2.1", "::/0", "2001:db8::/48", "2001:db8::1"), pick("tcp", "any"))
			if first := 1 + r.IntN(100); r.IntN(2) == 0 {
				text += fmt.Sprintf(" %d-%d", first, first+r.IntN(50))
			}
			rule, err := service.ParseMarkRule(strings.Fields(text))
			if err != nil {
				t.Fatal(err)
			}
			rules = append(rules, rule)
		}
		m := newMarks(service.Zones(rules, ""), services)
		for range 100 {
			to := netip.AddrPortFrom(netip.MustParseAddr(pick("192.0.2.1", "192.0.2.2", "10.0.0.1", "2001:db8::1", "2001:db8::2", "::1")), uint16(r.IntN(160)))
			proto := []service.Protocol{service.TCP, service.UDP, service.SCTP}[r.IntN(3)]
			want := noService
			if i := slices.IndexFunc(rules, func(x service.MarkRule) bool { return x.Takes(proto, to) }); i >= 0 {
				want = int32(slices.Index(keys, rules[i].Key()))
			}
			e := packet.EndpointFrom(to)
			if got := m.find(uint8(proto), &e); got != want {
				t.Fatalf("%v %v: service %d, want %d; rules %v", proto, to, got, want, rules)
			}
		}
	}
}

// What serves nobody is looked for by nobody.
func TestRulesWithoutServiceCostNothing(t *testing.T) {
	x := newWorld(t, topologies["twonic"], sizes{conns: 8, frames: 64, ring: 64})
	step := func(line string, looks bool) {
		t.Helper()
		if err := x.command(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
		if got := x.worker.config.marks != nil; got != looks {
			t.Errorf("%s: looks for marks: %v", line, got)
		}
	}
	step("-A -f 5 -s rr", false)
	step("mark add 6 to 192.0.2.1", true)
	step("mark flush", false)
	step("mark add 6 to 192.0.2.1", true)
	step("-D -f 5", false)
}

// Answers of servers by firewall mark come from their port, but from any where
// a connection may have kept its own.
func TestServersByMarkAnswerFromTheirPortUnlessPersistent(t *testing.T) {
	x := newWorld(t, topologies["twonic"], sizes{conns: 8, frames: 64, ring: 64})
	for _, c := range []struct{ line, want string }{
		{"-A -f 5 -s rr", ""},
		{"-a -f 5 -r 10.0.0.11:8080 -m", "10.0.0.11:8080"},
		{"-E -f 5 -s rr -p 60", "10.0.0.11:0"},
		{"-E -f 5 -s rr", "10.0.0.11:0"},
	} {
		if err := x.command(strings.Fields(c.line)); err != nil {
			t.Fatal(err)
		}
		for _, s := range x.roster.Servers() {
			if got := s.AnswersFrom().String(); got != c.want {
				t.Errorf("%s: answers come from %s, want %s", c.line, got, c.want)
			}
		}
	}
}
