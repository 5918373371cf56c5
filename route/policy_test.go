package route

import (
	"net/netip"
	"testing"
)

func TestRulesChooseTheTable(t *testing.T) {
	l := newLab(t)
	l.run(l.near, "ip route add default via 10.0.0.2",
		"ip route add default via 10.0.0.20 table 100",
		"ip route add default via 10.0.0.30 table 200",
		"ip route add 198.51.100.0/24 via 10.0.0.40 table 70000",
		"ip -6 route add default via 2001:db8::2",
		"ip -6 route add default via 2001:db8::20 table 100")
	m := l.open(Config{})
	near := l.index(m, "near")
	for _, c := range []struct {
		command  string
		dst, src string
		in       int
		gateway  string
		kind     Kind
	}{
		{"", "198.51.100.1", "203.0.113.1", 0, "10.0.0.2", Unicast},
		{"ip rule add from 203.0.113.0/24 lookup 100", "198.51.100.1", "203.0.113.1", 0, "10.0.0.20", Unicast},
		{"", "198.51.100.1", "203.0.114.1", 0, "10.0.0.2", Unicast},
		{"ip rule add iif near lookup 200 priority 50", "198.51.100.1", "203.0.113.1", near, "10.0.0.30", Unicast},
		{"", "198.51.100.1", "203.0.113.1", 0, "10.0.0.20", Unicast},
		{"ip rule add to 198.51.100.0/24 lookup 70000 priority 40", "198.51.100.1", "203.0.113.1", near, "10.0.0.40", Unicast},
		{"ip route replace throw 198.51.100.0/24 table 70000", "198.51.100.1", "203.0.113.1", near, "10.0.0.30", Unicast},
		{"ip rule add iif nobody lookup 100 priority 10", "198.51.100.1", "203.0.113.1", near, "10.0.0.30", Unicast},
		{"ip rule add from 203.0.113.7 unreachable priority 30", "198.51.100.1", "203.0.113.7", near, "", Unreachable},
		{"ip rule add from 203.0.113.8 prohibit priority 30", "198.51.100.1", "203.0.113.8", near, "", Prohibit},
		{"ip rule add from 203.0.113.9 blackhole priority 30", "198.51.100.1", "203.0.113.9", near, "", Blackhole},
		{"ip rule add iif lo lookup 100 priority 20", "198.51.100.1", "192.0.2.1", 0, "10.0.0.20", Unicast},
		{"ip rule del iif lo lookup 100 priority 20", "198.51.100.1", "192.0.2.1", 0, "10.0.0.2", Unicast},
		{"ip -6 rule add from 2001:db8:5::/48 lookup 100", "2001:db8:9::1", "2001:db8:5::1", 0, "2001:db8::20", Unicast},
		{"", "2001:db8:9::1", "2001:db8:6::1", 0, "2001:db8::2", Unicast},
		{"ip rule del table main; ip rule del table default", "198.51.100.1", "192.0.2.1", 0, "", None},
	} {
		if c.command != "" {
			l.run(l.near, c.command)
		}
		eventually(t, c.command, func() (any, bool) {
			n := m.Lookup(ip(c.dst), ip(c.src), c.in, 0)
			return n, n.Kind == c.kind && (c.gateway == "" || n.Gateway == ip(c.gateway))
		})
	}
}

func TestRuleForALinkThatComesLaterIsHeldThen(t *testing.T) {
	l := newLab(t)
	l.run(l.near, "ip route add default via 10.0.0.20 table 100", "ip rule add iif late lookup 100 priority 10")
	m := l.open(Config{})
	l.run(l.near, "ip link add late type veth peer name other")
	eventually(t, "rule iif late", func() (any, bool) {
		late, err := m.LinkByName("late")
		n := m.Lookup(ip("198.51.100.1"), ip("203.0.113.1"), late.Index, 0)
		return n, err == nil && n.Gateway == ip("10.0.0.20")
	})
}

func TestRuleBeyondThisPackageIsWarnedAboutOnceAndSkipped(t *testing.T) {
	l := newLab(t)
	l.run(l.near, "ip route add default via 10.0.0.2", "ip route add default via 10.0.0.20 table 100",
		"ip rule add fwmark 1 lookup 100 priority 10", "ip rule add fwmark 2 lookup 100 priority 11",
		"ip rule add lookup 100 suppress_prefixlength 0 priority 12",
		"ip rule add not from 10.0.0.1 lookup 100 priority 13",
		"ip rule add uidrange 1-2 lookup 100 priority 14")
	m := l.open(Config{})
	answers(t, m, "198.51.100.1", func(n Next) bool { return n.Gateway == ip("10.0.0.2") })
	l.run(l.near, "ip rule add fwmark 3 lookup 100 priority 15", "ip rule add from 192.0.2.9 lookup 100 priority 16")
	eventually(t, "the last rule", func() (any, bool) {
		n := m.Lookup(ip("198.51.100.1"), ip("192.0.2.9"), 0, 0)
		return n, n.Gateway == ip("10.0.0.20")
	})
	for _, word := range []string{"fwmark", "suppress_prefixlength", "with not ", "uidrange"} {
		if n := l.log.count(word); n != 1 {
			t.Errorf("%d warnings about %s, want 1", n, word)
		}
	}
}

func TestMultipathFollowsWeights(t *testing.T) {
	l := newLab(t)
	l.run(l.near, "ip route add 192.0.2.0/24 nexthop via 10.0.0.2 weight 1 nexthop via 10.0.0.3 weight 3",
		"ip -6 route add 2001:db8:9::/64 nexthop via 2001:db8::2 weight 1 nexthop via 2001:db8::3 weight 3")
	m := l.open(Config{})
	for _, c := range []struct{ dst, few, many string }{
		{"192.0.2.1", "10.0.0.2", "10.0.0.3"},
		{"2001:db8:9::1", "2001:db8::2", "2001:db8::3"},
	} {
		counts := map[netip.Addr]int{}
		for i := range uint32(4096) {
			n := m.Lookup(ip(c.dst), netip.Addr{}, 0, i<<20)
			counts[n.Gateway]++
			if again := m.Lookup(ip(c.dst), netip.Addr{}, 0, i<<20); again != n {
				t.Fatalf("one hash gives %v and %v", n, again)
			}
		}
		if counts[ip(c.few)] != 1024 || counts[ip(c.many)] != 3072 {
			t.Errorf("%s: shares %v, want 1024 and 3072", c.dst, counts)
		}
	}
}

func TestDeadHopOfMultipathIsNotUsed(t *testing.T) {
	l := newLab(t)
	l.run(l.near, "ip link add second type veth peer name other", "ip link set second up", "ip link set other up",
		"ip addr add 10.2.0.1/24 dev second",
		"ip route add 192.0.2.0/24 nexthop via 10.0.0.2 nexthop via 10.2.0.2")
	m := l.open(Config{})
	gateways := func() (any, map[netip.Addr]bool) {
		seen := map[netip.Addr]bool{}
		for i := range uint32(16) {
			seen[m.Lookup(ip("192.0.2.1"), netip.Addr{}, 0, i<<28).Gateway] = true
		}
		return seen, seen
	}
	eventually(t, "two hops", func() (any, bool) { s, g := gateways(); return s, len(g) == 2 })
	l.run(l.near, "ip link set second down")
	eventually(t, "one hop", func() (any, bool) { s, g := gateways(); return s, len(g) == 1 && g[ip("10.0.0.2")] })
	l.run(l.near, "ip link set second up")
	eventually(t, "two hops again", func() (any, bool) { s, g := gateways(); return s, len(g) == 2 })
}

func TestNexthopObjectsAreResolved(t *testing.T) {
	for _, compat := range []string{"1", "0"} {
		t.Run("compat mode "+compat, func(t *testing.T) {
			l := newLab(t)
			l.run(l.near, "sysctl -qw net.ipv4.nexthop_compat_mode="+compat)
			l.try(l.near, "ip nexthop add id 1 via 10.0.0.2 dev near")
			l.run(l.near, "ip nexthop add id 2 via 10.0.0.3 dev near", "ip nexthop add id 3 group 1/2",
				"ip nexthop add id 4 blackhole", "ip route add 192.0.2.0/25 nhid 1",
				"ip route add 192.0.2.128/25 nhid 3", "ip route add 198.51.100.0/24 nhid 4")
			m := l.open(Config{})
			by := func(g string) func(Next) bool { return func(n Next) bool { return n.Gateway == ip(g) } }
			answers(t, m, "192.0.2.1", by("10.0.0.2"))
			answers(t, m, "192.0.2.129", by("10.0.0.2"))
			if n := m.Lookup(ip("192.0.2.129"), netip.Addr{}, 0, 1<<31); n.Gateway != ip("10.0.0.3") {
				t.Errorf("second of the group: %+v", n)
			}
			answers(t, m, "198.51.100.1", func(n Next) bool { return n.Kind == Blackhole })
			l.run(l.near, "ip nexthop replace id 1 via 10.0.0.9 dev near")
			answers(t, m, "192.0.2.1", by("10.0.0.9"))
			l.run(l.near, "ip nexthop del id 1")
			answers(t, m, "192.0.2.1", func(n Next) bool { return n.Kind == None })
		})
	}
}

func TestARouteIsFixedIfNothingElseCounts(t *testing.T) {
	l := newLab(t)
	m := l.open(Config{})
	l.run(l.near, "ip route add 192.0.2.0/24 nexthop via 10.0.0.2 nexthop via 10.0.0.3", "ip route add default via 10.0.0.2")
	fixed := func(what, dst string, want bool) {
		t.Helper()
		eventually(t, what, func() (any, bool) {
			n := m.Lookup(ip(dst), netip.Addr{}, 0, 0)
			return n, n.Kind == Unicast && n.Fixed == want
		})
	}
	fixed("one gateway", "198.51.100.1", true)
	fixed("several", "192.0.2.1", false)
	l.run(l.near, "ip route add 198.51.100.0/24 via 10.0.0.3 table 100", "ip rule add from 203.0.113.0/24 lookup 100")
	fixed("a rule that asks for the source", "198.51.100.1", false)
	l.run(l.near, "ip rule del from 203.0.113.0/24 lookup 100")
	fixed("one gateway again", "198.51.100.1", true)
}
