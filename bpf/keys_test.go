package bpf

import (
	"errors"
	"net/netip"
	"testing"
)

func TestAddingTwiceIsAddingOnce(t *testing.T) {
	d := newStand(t)
	l, vip := Link{Ifindex: d.public}, netip.MustParseAddr("192.0.2.1")
	syn := frame{dst: publicMAC}.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:80"))
	must(t, d.AddService(l, 6, vip, 80))
	must(t, d.RemoveService(l, 6, vip, 80))
	if got := d.run(t, d.public, 0, syn); got != pass {
		t.Errorf("removed once: verdict %d, want %d", got, pass)
	}
	must(t, d.RemoveService(l, 6, vip, 80))
	must(t, d.AddService(l, 6, vip, 80))
	if got := d.run(t, d.public, 0, syn); got != redirect {
		t.Errorf("added again: verdict %d, want %d", got, redirect)
	}
}

func TestFragmentsAreTakenWhileAnyServiceHasTheirAddress(t *testing.T) {
	d := newStand(t)
	l, vip := Link{Ifindex: d.public}, netip.MustParseAddr("203.0.113.5")
	part := frame{dst: publicMAC}.ethernet(withOffset(udp("198.51.100.7:40000", "203.0.113.5:53"), 4))
	step := func(name string, err error, want int) {
		t.Helper()
		must(t, err)
		if got := d.run(t, d.public, 0, part); got != want {
			t.Errorf("%s: verdict %d, want %d", name, got, want)
		}
	}
	step("before", nil, pass)
	step("first service", d.AddService(l, 6, vip, 80), redirect)
	step("second service", d.AddService(l, 17, vip, 0), redirect)
	step("first service again", d.AddService(l, 6, vip, 80), redirect)
	step("first service gone", d.RemoveService(l, 6, vip, 80), redirect)
	step("second service gone", d.RemoveService(l, 17, vip, 0), pass)
}

func TestTheLastServiceOfAnyPortEndsIt(t *testing.T) {
	d := newStand(t)
	l := Link{Ifindex: d.public}
	a, b := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	ask := func(dst string) int {
		return d.run(t, d.public, 0, frame{dst: publicMAC}.ethernet(udp("198.51.100.7:40000", dst)))
	}
	must(t, d.AddService(l, 17, b, 0))
	must(t, d.RemoveService(l, 17, a, 0))
	if got := ask("192.0.2.2:1"); got != pass {
		t.Errorf("removed service: verdict %d, want %d", got, pass)
	}
	if got := ask("192.0.2.3:1"); got != redirect {
		t.Errorf("remaining service: verdict %d, want %d", got, redirect)
	}
	must(t, d.RemoveService(l, 17, b, 0))
	if got := ask("192.0.2.3:1"); got != pass {
		t.Errorf("no service: verdict %d, want %d", got, pass)
	}
}

func TestTCPAtAwaitedPortsOfServicesAndServersIsTaken(t *testing.T) {
	d := newStand(t)
	awaited, err := d.Awaited()
	must(t, err)
	pub, priv := frame{dst: publicMAC}, frame{dst: privateMAC}
	check := func(port uint16, service, reply, icmpErr Counters) {
		t.Helper()
		vip, rip := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port).String(), netip.AddrPortFrom(netip.MustParseAddr("10.0.0.11"), port).String()
		d.check(t, d.public, []steered{
			{"to a service's address", pub.ethernet(tcp("198.51.100.7:1", vip)), 0, service},
			{"of another protocol", pub.ethernet(udp("198.51.100.7:1", vip)), 0, passed},
			{"to no service's address", pub.ethernet(tcp("198.51.100.7:1", netip.AddrPortFrom(netip.MustParseAddr("192.0.2.99"), port).String())), 0, passed},
			{"error", pub.ethernet(icmp("203.0.113.1", "192.0.2.1", 3, tcp(vip, "198.51.100.7:1"))), 0, icmpErr},
		})
		d.check(t, d.private, []steered{
			{"from a server's address", priv.ethernet(tcp(rip, "198.51.100.7:1")), 0, reply},
			{"to the director", priv.ethernet(tcp(rip, "10.0.0.1:1")), 0, passed},
			{"from another address", priv.ethernet(tcp(netip.AddrPortFrom(netip.MustParseAddr("10.0.0.99"), port).String(), "198.51.100.7:1")), 0, passed},
		})
	}
	check(50000, passed, passed, passed)
	awaited[50000].Add(2)
	check(50000, service, reply, icmpErr)
	check(50001, passed, passed, passed)
	awaited[50000].Add(^uint64(0))
	check(50000, service, reply, icmpErr)
	awaited[50000].Add(^uint64(0))
	check(50000, passed, passed, passed)
	awaited[50000].Add(1)
	if _, err := d.Awaited(); err != nil || awaited[50000].Load() != 0 {
		t.Errorf("asked for again: %v, %d awaited", err, awaited[50000].Load())
	}
}

func TestOwnAddressesComeAndGo(t *testing.T) {
	d := newStand(t)
	answer := frame{dst: privateMAC}.ethernet(tcp("10.0.0.11:8080", "10.0.0.2:40000"))
	a := netip.MustParseAddr("10.0.0.2")
	for _, step := range []struct {
		do   func(netip.Addr) error
		want int
	}{{d.RemoveOwn, redirect}, {d.AddOwn, pass}, {d.AddOwn, pass}, {d.RemoveOwn, redirect}} {
		must(t, step.do(a))
		if got := d.run(t, d.private, 0, answer); got != step.want {
			t.Errorf("verdict %d, want %d", got, step.want)
		}
	}
}

func TestImpossibleKeysAreRefused(t *testing.T) {
	needRoot(t)
	s, err := Load(Config{})
	must(t, err)
	defer s.Close()
	vip := netip.MustParseAddr("192.0.2.1")
	for name, err := range map[string]error{
		"no nic":        s.AddService(Link{}, 6, vip, 80),
		"three tags":    s.AddService(Link{Ifindex: 1, NTags: 3}, 6, vip, 80),
		"VLAN 0":        s.AddService(Link{Ifindex: 1, NTags: 1}, 6, vip, 80),
		"VLAN 4095":     s.AddReply(Link{Ifindex: 1, NTags: 1, Tags: [2]uint16{4095}}, 6, vip, 80),
		"no protocol":   s.AddService(Link{Ifindex: 1}, 0, vip, 80),
		"no address":    s.AddReply(Link{Ifindex: 1}, 6, netip.Addr{}, 80),
		"no own":        s.AddOwn(netip.Addr{}),
		"no own to end": s.RemoveOwn(netip.Addr{}),
		"not there":     s.RemoveService(Link{}, 6, vip, 80),
	} {
		if !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, want %v", name, err, ErrKey)
		}
	}
}

func TestAFullMapSaysSoAndKeepsWhatItHas(t *testing.T) {
	inNetns(t)
	s, err := Load(Config{Services: 2, Own: 1})
	must(t, err)
	defer s.Close()
	nic := addVeth(t, "n0", "p0", 1)
	d := &stand{Steering: s, public: nic}
	must(t, s.AddNIC(nic, publicMAC))
	must(t, s.SetSocket(nic, 0, newSocket(t)))
	must(t, s.AddService(Link{Ifindex: nic}, 6, netip.MustParseAddr("192.0.2.1"), 80))
	must(t, s.AddService(Link{Ifindex: nic}, 6, netip.MustParseAddr("192.0.2.2"), 80))
	if err := s.AddService(Link{Ifindex: nic}, 6, netip.MustParseAddr("192.0.2.1"), 81); !errors.Is(err, ErrFull) {
		t.Errorf("third service: %v, want %v", err, ErrFull)
	}
	must(t, s.AddOwn(netip.MustParseAddr("10.0.0.1")))
	if err := s.AddOwn(netip.MustParseAddr("10.0.0.2")); !errors.Is(err, ErrFull) {
		t.Errorf("second own address: %v, want %v", err, ErrFull)
	}
	must(t, s.RemoveService(Link{Ifindex: nic}, 6, netip.MustParseAddr("192.0.2.1"), 80))
	part := frame{dst: publicMAC}.ethernet(withOffset(tcp("198.51.100.7:40000", "192.0.2.1:80"), 4))
	if got := d.run(t, nic, 0, part); got != pass {
		t.Errorf("fragment to an address of no service: verdict %d, want %d", got, pass)
	}
}
