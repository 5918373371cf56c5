package bpf

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func zone(proto uint8, prefix string, ports ...uint16) Zone {
	z := Zone{Protocol: proto, Prefix: netip.MustParsePrefix(prefix)}
	for i := 0; i < len(ports); i += 2 {
		z.Ports = append(z.Ports, [2]uint16{ports[i], ports[i+1]})
	}
	return z
}

var zonesOfTests = []Zone{
	zone(6, "203.0.113.0/24", 80, 80, 443, 444),
	zone(17, "203.0.113.8/29", 1, 65535),
	zone(6, "203.0.113.7/32"),
	zone(6, "2001:db8:5::/48", 1, 1, 65535, 65535),
}

func TestZonesTakeTheirPortsOnTheirLink(t *testing.T) {
	d := newStand(t)
	l := Link{Ifindex: d.public}
	must(t, d.SetZones(l, zonesOfTests))
	must(t, d.SetZones(Link{Ifindex: d.public, NTags: 1, Tags: [2]uint16{7}}, []Zone{zone(132, "198.18.0.0/15", 9, 9)}))
	part := func(p []byte) []byte { return withOffset(p, 4) }
	for _, c := range []struct {
		name   string
		tags   []uint16
		packet []byte
		want   int
	}{
		{"a port", nil, tcp("198.51.100.7:40000", "203.0.113.1:80"), redirect},
		{"a range", nil, tcp("198.51.100.7:40000", "203.0.113.255:444"), redirect},
		{"a port before", nil, tcp("198.51.100.7:40000", "203.0.113.1:442"), pass},
		{"a port behind", nil, tcp("198.51.100.7:40000", "203.0.113.1:445"), pass},
		{"the first port", nil, tcp("198.51.100.7:40000", "203.0.113.1:1"), pass},
		{"port 0", nil, udp("198.51.100.7:40000", "203.0.113.9:0"), pass},
		{"port 1", nil, udp("198.51.100.7:40000", "203.0.113.9:1"), redirect},
		{"port 65535", nil, udp("198.51.100.7:40000", "203.0.113.9:65535"), redirect},
		{"another protocol", nil, udp("198.51.100.7:40000", "203.0.113.1:80"), pass},
		{"another network", nil, tcp("198.51.100.7:40000", "203.0.114.1:80"), pass},
		{"a hole", nil, tcp("198.51.100.7:40000", "203.0.113.7:80"), pass},
		{"IPv6", nil, tcp("[2001:db8:7::7]:40000", "[2001:db8:5:ffff::1]:65535"), redirect},
		{"IPv6, another port", nil, tcp("[2001:db8:7::7]:40000", "[2001:db8:5:ffff::1]:65534"), pass},
		{"a fragment", nil, part(udp("198.51.100.7:40000", "203.0.113.1:80")), redirect},
		{"a fragment to a hole", nil, part(tcp("198.51.100.7:40000", "203.0.113.7:80")), pass},
		{"an ICMP error", nil, icmp("198.51.100.1", "203.0.113.1", 3, tcp("203.0.113.1:443", "198.51.100.7:40000")), redirect},
		{"an ICMP error about another port", nil, icmp("198.51.100.1", "203.0.113.1", 3, tcp("203.0.113.1:81", "198.51.100.7:40000")), pass},
		{"tagged", []uint16{7}, packet(132, "198.51.100.7:1", "198.19.255.255:9"), redirect},
		{"not tagged", nil, packet(132, "198.51.100.7:1", "198.19.255.255:9"), pass},
		{"tagged otherwise", []uint16{8}, packet(132, "198.51.100.7:1", "198.19.255.255:9"), pass},
	} {
		if got := d.run(t, d.public, 0, frame{publicMAC, c.tags, false}.ethernet(c.packet)); got != c.want {
			t.Errorf("%s: verdict %d, want %d", c.name, got, c.want)
		}
	}
	other := frame{dst: privateMAC}.ethernet(tcp("198.51.100.7:40000", "203.0.113.1:80"))
	if got := d.run(t, d.private, 0, other); got != pass {
		t.Errorf("another link: verdict %d, want %d", got, pass)
	}
}

func TestZonesAreReplacedAsAWhole(t *testing.T) {
	d, w := onLoopback(t)
	r := rand.New(rand.NewPCG(5, 6))
	prefixes := []string{"0.0.0.0/0", "203.0.113.0/24", "203.0.113.0/25", "203.0.113.9/32", "203.0.113.7/32", "::/0", "2001:db8:5::/48", "2001:db8:5::9/128"}
	for range 300 {
		w.zones = nil
		for _, prefix := range prefixes {
			for _, proto := range []uint8{6, 17} {
				if r.IntN(2) == 0 {
					continue
				}
				z := zone(proto, prefix)
				for port := 40 + r.IntN(20); port < 500 && r.IntN(5) > 0; port += 2 + r.IntN(200) {
					last := port + r.IntN(100)
					z.Ports = append(z.Ports, [2]uint16{uint16(port), uint16(last)})
					port = last
				}
				w.zones = append(w.zones, z)
			}
		}
		must(t, d.SetZones(Link{Ifindex: 1}, w.zones))
		for _, f := range framesOfEveryKind() {
			d.compare(t, w, f)
		}
	}
}

func TestNobodyLooksForZonesWhereThereAreNone(t *testing.T) {
	d := newStand(t)
	l := Link{Ifindex: d.public}
	zones := func() (n uint32) {
		must(t, d.objects.AnyPort.Lookup(uint32(2), &n))
		return n
	}
	must(t, d.SetZones(l, nil))
	if n := zones(); n != 0 {
		t.Errorf("%d zones, want none", n)
	}
	must(t, d.SetZones(l, zonesOfTests))
	must(t, d.SetZones(Link{Ifindex: d.private}, zonesOfTests))
	must(t, d.SetZones(l, nil))
	if n := zones(); n != 4+4 {
		t.Errorf("%d zones, want 4 and 4 for fragments", n)
	}
	must(t, d.Clear())
	if n := zones(); n != 0 {
		t.Errorf("%d zones after Clear", n)
	}
	must(t, d.SetZones(l, zonesOfTests))
	syn := frame{dst: publicMAC}.ethernet(tcp("198.51.100.7:40000", "203.0.113.1:80"))
	if got := d.run(t, d.public, 0, syn); got != redirect {
		t.Errorf("set again: verdict %d, want %d", got, redirect)
	}
}

func TestZonesAreBounded(t *testing.T) {
	d := newStand(t)
	l := Link{Ifindex: d.public}
	var ports []uint16
	for i := range uint16(maxRanges) {
		ports = append(ports, 10*i+10, 10*i+12)
	}
	must(t, d.SetZones(l, []Zone{zone(6, "203.0.113.0/24", ports...)}))
	for port, want := range map[int]int{9: pass, 10: redirect, 12: redirect, 13: pass, 330: redirect, 640: redirect, 642: redirect, 643: pass} {
		syn := frame{dst: publicMAC}.ethernet(tcp("198.51.100.7:40000", fmt.Sprintf("203.0.113.1:%d", port)))
		if got := d.run(t, d.public, 0, syn); got != want {
			t.Errorf("port %d: verdict %d, want %d", port, got, want)
		}
	}
	must(t, d.SetZones(l, []Zone{zone(6, "203.0.113.0/24", append(ports, 643, 643)...)})) // adjoins
	if err := d.SetZones(l, []Zone{zone(6, "203.0.113.0/24", append(ports, 1000, 1000)...)}); !errors.Is(err, ErrFull) {
		t.Errorf("too many ranges: %v, want %v", err, ErrFull)
	}
	for name, err := range map[string]error{
		"no nic":      d.SetZones(Link{}, zonesOfTests),
		"no protocol": d.SetZones(l, []Zone{zone(0, "203.0.113.0/24", 1, 1)}),
		"no prefix":   d.SetZones(l, []Zone{{Protocol: 6}}),
	} {
		if !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, want %v", name, err, ErrKey)
		}
	}
}
