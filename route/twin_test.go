package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// TestLookupAnswersAsTheKernel lets the kernel, by `ip route get`, say what is
// right after random changes to routes and rules. The seeds are some that once
// found a difference.
func TestLookupAnswersAsTheKernel(t *testing.T) {
	for _, seed := range []uint64{17, 79, 2900356446460223385} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { compareWithKernel(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func compareWithKernel(t *testing.T, rnd *rand.Rand) {
	l := newLab(t)
	l.run(l.near, "ip addr add 10.1.0.1/24 dev near", "sysctl -qw net.ipv4.conf.all.rp_filter=0")
	m := l.open(Config{})
	h, err := netlink.NewHandleAt(netns.NsHandle(l.near.handle), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var done []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the kernel has\n%s", l.output(l.near, "ip route show table all; ip -6 route show table all | grep -v fe80"))
		}
	})
	for round := range 12 {
		var lines []string
		for range 25 {
			lines = append(lines, randomCommand(rnd)+" || true")
		}
		done = append(done, lines...)
		l.run(l.near, "("+strings.Join(lines, "; ")+") >/dev/null 2>&1")
		for _, dst := range destinations() {
			eventually(t, fmt.Sprintf("round %d: route to %s after\n%s", round, dst, strings.Join(done, "\n")), func() (any, bool) {
				got, want := hops(m, dst), kernelNext(h, dst)
				return fmt.Sprintf("got %+v, kernel %+v", got, want), slices.Contains(got, want)
			})
		}
	}
}

// hops are all answers for dst: IPv6 joins routes of one metric, and which of
// them the kernel takes is the kernel's hash.
func hops(m *Mirror, dst netip.Addr) []Next {
	var all []Next
	for hash := range uint32(16) {
		n := m.Lookup(dst, netip.Addr{}, 0, hash<<28)
		n.Source, n.Fixed = netip.Addr{}, false
		if !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// randomCommand changes a route among few prefixes, tables and metrics, so
// that changes meet.
func randomCommand(rnd *rand.Rand) string {
	six := rnd.IntN(3) == 0
	verbs := []string{"add", "replace", "del", "append", "change", "prepend", "del", "del"}
	line := "ip route "
	pick := func(words ...string) string { return words[rnd.IntN(len(words))] }
	target := pick("via 10.0.0.5", "via 10.0.0.6", "via 10.1.0.7", "dev near", "via inet6 2001:db8::9 dev near")
	what := pick("10.9.0.0/16", "10.9.1.0/24", "10.9.1.1/32", "10.9.0.0/23")
	if six {
		line = "ip -6 route "
		target = pick("via 2001:db8::5", "via 2001:db8::6", "via 2001:db8::7", "dev near")
		what = pick("2001:db8:9::/48", "2001:db8:9:1::/64", "2001:db8:9:1::1/128")
	}
	line += pick(verbs...) + " "
	if rnd.IntN(8) == 0 {
		line += pick("unreachable ", "blackhole ", "prohibit ", "throw ")
		target = ""
	}
	line += what + " " + target
	line += pick("", "", " metric 5", " metric 7")
	return line + pick("", "", "", " table 100")
}

func destinations() []netip.Addr {
	var out []netip.Addr
	for _, s := range []string{"10.9.1.1", "10.9.1.2", "10.9.0.1", "10.9.7.7", "10.0.0.9", "10.0.0.1",
		"2001:db8:9:1::1", "2001:db8:9:1::2", "2001:db8:9:2::1", "2001:db8::77"} {
		out = append(out, ip(s))
	}
	return out
}

// kernelNext asks the kernel for the route that it would take.
func kernelNext(h *netlink.Handle, dst netip.Addr) Next {
	routes, err := h.RouteGetWithOptions(dst.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
	switch {
	case err == unix.EHOSTUNREACH:
		return Next{Kind: Unreachable}
	case err == unix.EACCES:
		return Next{Kind: Prohibit}
	case err == unix.EINVAL:
		return Next{Kind: Blackhole}
	case err != nil || len(routes) == 0:
		return Next{}
	}
	r := routes[0]
	n := Next{Kind: routeKinds[uint8(r.Type)], Ifindex: r.LinkIndex}
	if n.Kind != Unicast && n.Kind != Local {
		return Next{Kind: n.Kind}
	}
	if len(r.MultiPath) > 0 {
		n.Ifindex, r.Gw, r.Via = r.MultiPath[0].LinkIndex, r.MultiPath[0].Gw, r.MultiPath[0].Via
	}
	if a, ok := netip.AddrFromSlice(r.Gw); ok {
		n.Gateway = a.Unmap()
	}
	if via, ok := r.Via.(*netlink.Via); ok {
		n.Gateway, _ = netip.AddrFromSlice(via.Addr)
	}
	link, err := h.LinkByIndex(n.Ifindex)
	if err == nil {
		n.MTU = link.Attrs().MTU
	}
	return n
}
