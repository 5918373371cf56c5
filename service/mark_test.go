package service

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func markRule(t testing.TB, text string) MarkRule {
	t.Helper()
	r, err := ParseMarkRule(strings.Fields(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMarkRulesAreReadAndWritten(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"5 to 192.0.2.1", ""},
		{"5 to 192.0.2.1/32", "5 to 192.0.2.1"},
		{"5 to 192.0.2.77/24 any", "5 to 192.0.2.0/24"},
		{"4294967295 to 0.0.0.0/0 tcp", ""},
		{"5 to 192.0.2.0/24 tcp 80", ""},
		{"5 to 192.0.2.0/24 tcp 80-80", "5 to 192.0.2.0/24 tcp 80"},
		{"5 to 192.0.2.0/24 any 53", ""},
		{"5 to 192.0.2.0/24 udp 1-65535", "5 to 192.0.2.0/24 udp"},
		{"5 to 192.0.2.0/24 sctp 1000-2000 on eth0.10", ""},
		{"5 to 2001:db8::/32 on eth0", ""},
		{"5 to ::ffff:192.0.2.1", "5 to 192.0.2.1"},
	} {
		if c.want == "" {
			c.want = c.text
		}
		if got := markRule(t, c.text).String(); got != c.want {
			t.Errorf("%s is written as %s, want %s", c.text, got, c.want)
		}
	}
}

func TestWrongMarkRulesAreRefusedWithAReason(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "a mark rule is",
		"5 to":                          "a mark rule is",
		"5 192.0.2.1 tcp":               "a mark rule is",
		"5 to 192.0.2.1 tcp 80 90":      "a mark rule is",
		"0 to 192.0.2.1":                `mark "0"`,
		"4294967296 to 192.0.2.1":       `mark "4294967296"`,
		"x to 192.0.2.1":                `mark "x"`,
		"5 to 192.0.2.1/33":             `"192.0.2.1/33" is neither`,
		"5 to fe80::1%eth0":             `"fe80::1%eth0" is neither`,
		"5 to web":                      `"web" is neither`,
		"5 to 192.0.2.1 icmp":           `protocol "icmp"`,
		"5 to 192.0.2.1 tcp 0":          `ports "0"`,
		"5 to 192.0.2.1 tcp 0-9":        `ports "0-9"`,
		"5 to 192.0.2.1 tcp 9-8":        `ports "9-8"`,
		"5 to 192.0.2.1 tcp 80-":        `ports "80-"`,
		"5 to 192.0.2.1 tcp 65536":      `ports "65536"`,
		"5 to 192.0.2.1 tcp 80-90-100 ": `ports "80-90-100"`,
	} {
		if _, err := ParseMarkRule(strings.Fields(text)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func marking(t testing.TB, op Op, text string) Edit { return Edit{Op: op, Mark: markRule(t, text)} }

func TestMarkRulesStandInTheOrderOfAdding(t *testing.T) {
	s := NewSet(AllFeatures)
	step := func(e Edit, err error, want ...string) {
		t.Helper()
		before := s.Clone()
		if got := s.Apply(e); !errors.Is(got, err) {
			t.Fatalf("%v: %v, want %v", e, got, err)
		} else if got != nil && !strings.HasPrefix(got.Error(), e.String()+": ") {
			t.Errorf("it does not name the edit: %v", got)
		}
		var have []string
		for _, r := range s.Marks() {
			have = append(have, r.String())
		}
		if !slices.Equal(have, want) {
			t.Errorf("%v: %q, want %q", e, have, want)
		}
		if err != nil && !slices.Equal(before.Marks(), s.Marks()) {
			t.Errorf("%v changed something", e)
		}
	}
	a, b := "5 to 192.0.2.0/24 tcp 80", "6 to 192.0.2.0/24"
	step(marking(t, AddMark, b), nil, b)
	step(marking(t, AddMark, a), nil, b, a)
	clone := s.Clone()
	step(marking(t, AddMark, "7 to 192.0.2.0/24 tcp 80"), ErrMarkExists, b, a)
	step(marking(t, DeleteMark, "7 to 192.0.2.0/24 tcp 80"), ErrNoMark, b, a)
	step(marking(t, DeleteMark, b), nil, a)
	step(Edit{Op: Clear}, nil, a)
	step(Edit{Op: AddMark}, ErrInvalid, a)
	step(Edit{Op: ClearMarks}, nil)
	if len(clone.Marks()) != 2 {
		t.Error("a clone has followed")
	}
	if err := new(Set).Apply(marking(t, AddMark, a)); !errors.Is(err, ErrNotSupported) {
		t.Errorf("without the feature: %v", err)
	}
}

func TestMarkRulesAreBounded(t *testing.T) {
	s := NewSet(AllFeatures)
	for i := range MaxMarks {
		if err := s.Apply(marking(t, AddMark, fmt.Sprintf("5 to 192.0.2.1 tcp %d", i+1))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Apply(marking(t, AddMark, "5 to 192.0.2.2")); !errors.Is(err, ErrMarksFull) {
		t.Error(err)
	}
}

// twinMark is what rules say, read one after the other.
func twinMark(rules []MarkRule, link string, p Protocol, to netip.AddrPort) uint32 {
	for _, r := range rules {
		if r.Takes(p, to) && (r.NIC == "" || r.NIC == link) {
			return r.Mark
		}
	}
	return 0
}

// markIn is what zones say.
func markIn(zones []Zone, p Protocol, to netip.AddrPort) uint32 {
	var best *Zone
	for i := range zones {
		z := &zones[i]
		if z.Protocol == p && z.Prefix.Contains(to.Addr()) && (best == nil || z.Prefix.Bits() > best.Prefix.Bits()) {
			best = z
		}
	}
	if best != nil {
		for _, s := range best.Spans {
			if s.From <= to.Port() && to.Port() <= s.To {
				return s.Mark
			}
		}
	}
	return 0
}

func TestZonesSayWhatTheirRulesSay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(all ...string) string { return all[r.IntN(len(all))] }
	port := func() int { return []int{1, 2, 80, 81, 443, 65534, 65535}[r.IntN(7)] }
	for round := range 2000 {
		var rules []MarkRule
		for range r.IntN(12) {
			text := fmt.Sprintf("%d to %s", 1+r.IntN(3), pick("0.0.0.0/0", "192.0.2.0/24", "192.0.2.0/25", "192.0.2.1", "192.0.2.2", "::/0", "2001:db8::/32", "2001:db8::1"))
			if r.IntN(2) == 0 {
				text += " " + pick("tcp", "udp", "sctp", "any")
				if r.IntN(3) > 0 {
					a, b := port(), port()
					text += fmt.Sprintf(" %d-%d", min(a, b), max(a, b))
				}
			}
			if r.IntN(4) == 0 {
				text += " on " + pick("eth0", "eth1")
			}
			rules = append(rules, markRule(t, text))
		}
		zones := map[string][]Zone{"eth0": Zones(rules, "eth0"), "eth1": Zones(rules, "eth1")}
		for range 50 {
			link, proto := pick("eth0", "eth1"), []Protocol{TCP, UDP, SCTP}[r.IntN(3)]
			to := netip.AddrPortFrom(netip.MustParseAddr(pick("192.0.2.1", "192.0.2.2", "192.0.2.200", "198.51.100.1", "2001:db8::1", "2001:db8::2", "::1")), uint16(port()))
			if got, want := markIn(zones[link], proto, to), twinMark(rules, link, proto, to); got != want {
				t.Fatalf("round %d: %v %v over %s has mark %d, want %d\n%v", round, proto, to, link, got, want, rules)
			}
		}
	}
}

func TestZonesOfManyRulesDoNotTakeLong(t *testing.T) {
	var rules []MarkRule
	for i := range MaxMarks / 2 {
		rules = append(rules, markRule(t, fmt.Sprintf("%d to 0.0.0.0/0 any %d-%d", i+1, i*100+1, i*100+90)),
			markRule(t, fmt.Sprintf("9 to 192.0.%d.%d", i/256, i%256)))
	}
	if zones := Zones(rules, ""); len(zones) != 3*(MaxMarks/2+1) {
		t.Errorf("%d zones", len(zones))
	}
}

func FuzzParseMarkRule(f *testing.F) {
	for _, text := range []string{"5 to 192.0.2.0/24 tcp 80-90 on eth0", "1 to ::/0", "7 to ::ffff:192.0.2.1/120 any 1-65535", "on on on", "1 to 1.1.1.1 on on"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseMarkRule(strings.Fields(text))
		if err != nil {
			return
		}
		again, err := ParseMarkRule(strings.Fields(r.String()))
		if err != nil || again != r {
			t.Errorf("%q is %v, and that is %v, %v", text, r, again, err)
		}
		if err := r.valid(); err != nil || r.normal() != r {
			t.Errorf("%q is %+v, which is not in order: %v", text, r, err)
		}
	})
}
