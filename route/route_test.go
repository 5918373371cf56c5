package route

import (
	"net/netip"
	"testing"
)

// answers waits until m answers dst with what want says.
func answers(t *testing.T, m *Mirror, dst string, want func(Next) bool) {
	t.Helper()
	eventually(t, "route to "+dst, func() (any, bool) {
		n := m.Lookup(ip(dst), netip.Addr{}, 0, 0)
		n.Fixed = false
		return n, want(n)
	})
}

func TestRoutesAreFollowed(t *testing.T) {
	l := newLab(t)
	m := l.open(Config{})
	near := l.index(m, "near")
	kind := func(k Kind) func(Next) bool { return func(n Next) bool { return n.Kind == k } }
	by := func(gateway string, mtu int) func(Next) bool {
		return func(n Next) bool {
			return n.Kind == Unicast && n.Ifindex == near && n.Gateway == ip(gateway) && n.MTU == mtu
		}
	}
	onLink := func(source string) func(Next) bool {
		return func(n Next) bool {
			return n == Next{Ifindex: near, MTU: 1500, Source: ip(source), Kind: Unicast}
		}
	}
	for _, c := range []struct {
		command string
		dst     string
		want    func(Next) bool
	}{
		{"", "10.0.0.7", onLink("10.0.0.1")},
		{"", "2001:db8::7", onLink("2001:db8::1")},
		{"", "10.0.0.1", kind(Local)},
		{"", "2001:db8::1", kind(Local)},
		{"", "127.0.0.9", kind(Local)},
		{"", "10.0.0.255", kind(Broadcast)},
		{"", "192.0.2.1", kind(None)},
		{"", "2001:db8:9::1", kind(None)},
		{"ip route add 192.0.2.0/24 via 10.0.0.2", "192.0.2.1", by("10.0.0.2", 1500)},
		{"ip route replace 192.0.2.0/24 via 10.0.0.3 mtu 1400", "192.0.2.1", by("10.0.0.3", 1400)},
		{"ip route change 192.0.2.0/24 via 10.0.0.3 mtu lock 1300", "192.0.2.1", by("10.0.0.3", 1300)},
		{"ip route change 192.0.2.0/24 via 10.0.0.3 mtu 9000", "192.0.2.1", by("10.0.0.3", 1500)},
		{"ip route add 192.0.2.0/24 via 10.0.0.4 metric 10", "192.0.2.1", by("10.0.0.3", 1500)},
		{"ip route del 192.0.2.0/24 via 10.0.0.3", "192.0.2.1", by("10.0.0.4", 1500)},
		{"ip route append 192.0.2.0/24 via 10.0.0.5 metric 10", "192.0.2.1", by("10.0.0.4", 1500)},
		{"ip route prepend 192.0.2.0/24 via 10.0.0.6 metric 10", "192.0.2.1", by("10.0.0.6", 1500)},
		{"ip route del 192.0.2.0/24 via 10.0.0.6", "192.0.2.1", by("10.0.0.4", 1500)},
		{"ip route add 192.0.2.1/32 via 10.0.0.9", "192.0.2.1", by("10.0.0.9", 1500)},
		{"ip route add unreachable 192.0.2.2", "192.0.2.2", kind(Unreachable)},
		{"ip route add blackhole 192.0.2.3", "192.0.2.3", kind(Blackhole)},
		{"ip route add prohibit 192.0.2.4", "192.0.2.4", kind(Prohibit)},
		{"ip route add throw 192.0.2.5", "192.0.2.5", kind(None)},
		{"ip route add local 192.0.2.6 dev lo", "192.0.2.6", kind(Local)},
		{"ip route add 192.0.2.7 dev near src 10.0.0.1", "192.0.2.7", onLink("10.0.0.1")},
		{"ip route add 192.0.2.8 via inet6 2001:db8::2 dev near", "192.0.2.8", by("2001:db8::2", 1500)},
		{"ip route add default via 10.0.0.2", "198.51.100.1", by("10.0.0.2", 1500)},
		{"ip route add 2001:db8:9::/64 via 2001:db8::2", "2001:db8:9::1", by("2001:db8::2", 1500)},
		{"ip route replace 2001:db8:9::/64 via 2001:db8::3 mtu 1280", "2001:db8:9::1", by("2001:db8::3", 1280)},
		{"ip route del 2001:db8:9::/64", "2001:db8:9::1", kind(None)},
		{"ip route add unreachable 2001:db8:9::/64", "2001:db8:9::1", kind(Unreachable)},
		{"ip link set near mtu 1450", "198.51.100.1", by("10.0.0.2", 1450)},
		{"ip link set near down", "198.51.100.1", kind(None)},
		{"ip link set near up", "10.0.0.7", func(n Next) bool { return n.Kind == Unicast }},
	} {
		if c.command != "" {
			l.run(l.near, c.command)
		}
		t.Log(c.command, "→", c.dst)
		answers(t, m, c.dst, c.want)
	}
}
