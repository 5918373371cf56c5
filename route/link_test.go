package route

import (
	"bytes"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

func TestLinksAreFollowed(t *testing.T) {
	l := newLab(t)
	told := &diary[Link]{}
	m := l.open(Config{OnLink: told.add})
	near, err := m.LinkByName("near")
	if err != nil {
		t.Fatal(err)
	}
	if near.Kind != "veth" || near.Driver != "veth" || near.MTU != 1500 || !near.Up || !near.Carrier || !near.Ethernet ||
		!near.ARP || near.Tunnel || near.Loopback || len(near.MACs) != 1 || near.MACs[0] != near.MAC {
		t.Errorf("near is %+v", near)
	}
	if lo, _ := m.LinkByName("lo"); !lo.Loopback || lo.Ethernet || lo.ARP {
		t.Errorf("lo is %+v", lo)
	}
	l.run(l.near, "ip link set near mtu 1400")
	told.hears(t, "mtu", func(x Link) bool { return x.Name == "near" && x.MTU == 1400 })
	l.run(l.far, "ip link set far down")
	told.hears(t, "carrier", func(x Link) bool { return x.Name == "near" && !x.Carrier && x.OperState != "up" })
	l.run(l.near, "ip link add one type veth peer name two")
	told.hears(t, "a new link", func(x Link) bool { return x.Name == "one" && !x.Removed })
	l.run(l.near, "ip link set one name renamed")
	told.hears(t, "a new name", func(x Link) bool { return x.Name == "renamed" && x.Driver == "veth" })
	l.run(l.near, "ip link del renamed")
	told.hears(t, "a removal", func(x Link) bool { return x.Name == "renamed" && x.Removed })
	if _, err := m.LinkByName("renamed"); !errors.Is(err, ErrNoLink) {
		t.Errorf("removed link: %v", err)
	}
}

func TestLinkNamesItsBridge(t *testing.T) {
	l := newLab(t)
	m := l.open(Config{})
	l.try(l.near, "ip link add br0 type bridge")
	l.run(l.near, "ip link set near master br0")
	is := func(kind string) {
		t.Helper()
		eventually(t, "master "+kind, func() (any, bool) {
			near, err := m.LinkByName("near")
			return near, err == nil && near.MasterKind == kind && (near.Master != 0) == (kind != "")
		})
	}
	is("bridge")
	l.run(l.near, "ip link set near nomaster")
	is("")
}

func TestKindsOfLinks(t *testing.T) {
	for line, ok := range map[string]func(Link) bool{
		"ip tuntap add x mode tap":                                   func(l Link) bool { return l.Kind == "tun" && l.Ethernet && !l.Tunnel },
		"ip tuntap add x mode tun":                                   func(l Link) bool { return l.Kind == "tun" && l.Tunnel },
		"ip link add x type gre local 10.0.0.1 remote 10.0.0.2":      func(l Link) bool { return l.Kind == "gre" && l.Tunnel },
		"ip link add x type vxlan id 5 dev near dstport 4789":        func(l Link) bool { return l.Kind == "vxlan" && l.Tunnel },
		"ip link add x type wireguard":                               func(l Link) bool { return l.Kind == "wireguard" && l.Tunnel },
		"ip link add x type bond":                                    func(l Link) bool { return l.Kind == "bond" && !l.Tunnel },
		"ip link add x type dummy":                                   func(l Link) bool { return l.Kind == "dummy" && !l.Tunnel },
		"ip link add link near name x type vlan id 10":               func(l Link) bool { return l.Parent != 0 && l.VLAN == 10 && l.VLANProto == 0x8100 },
		"ip link add link near name x type vlan proto 802.1ad id 10": func(l Link) bool { return l.VLAN == 10 && l.VLANProto == 0x88a8 },
		"ip link add link near name x type macvlan mode bridge":      func(l Link) bool { return l.Kind == "macvlan" && l.Parent != 0 },
		"ip link add x type bridge":                                  func(l Link) bool { return l.Kind == "bridge" && l.Ethernet },
	} {
		t.Run(line, func(t *testing.T) {
			l := newLab(t)
			l.try(l.near, line)
			m := l.open(Config{})
			if x, err := m.LinkByName("x"); err != nil || !ok(x) {
				t.Errorf("%+v, %v", x, err)
			}
		})
	}
}

func TestMACsOfMacvlanBelongToTheNIC(t *testing.T) {
	l := newLab(t)
	told := &diary[Link]{}
	m := l.open(Config{OnLink: told.add})
	l.try(l.near, "ip link add vrrp.51 link near address 00:00:5e:00:01:33 type macvlan mode private")
	vmac := [6]byte{0, 0, 0x5e, 0, 1, 0x33}
	has := func(want bool) {
		t.Helper()
		eventually(t, "MAC addresses of near", func() (any, bool) {
			near, err := m.LinkByName("near")
			return near.MACs, err == nil && slices.Contains(near.MACs, vmac) == want
		})
	}
	has(false) // a device that is down takes no frames
	l.run(l.near, "ip link set vrrp.51 up")
	has(true)
	told.hears(t, "more addresses", func(x Link) bool { return x.Name == "near" && len(x.MACs) == 2 })
	near, v := l.index(m, "near"), l.index(m, "vrrp.51")
	if e, err := m.Egress(v); err != nil || e != (Egress{NIC: near, Source: vmac}) {
		t.Errorf("egress of the macvlan: %+v, %v", e, err)
	}
	l.run(l.near, "ip link del vrrp.51")
	has(false)
}

func TestEgressGathersTagsOutermostFirst(t *testing.T) {
	nic, outer, inner, top := [6]byte{1}, [6]byte{1}, [6]byte{3}, [6]byte{4}
	links := map[int]Link{
		2: {Index: 2, Name: "eth0", MAC: nic, Up: true},
		3: {Index: 3, Name: "eth0.10", Kind: "vlan", Parent: 2, VLAN: 10, MAC: outer, Up: true},
		4: {Index: 4, Name: "eth0.10.20", Kind: "vlan", Parent: 3, VLAN: 20, MAC: inner, Up: true},
		5: {Index: 5, Name: "mv", Kind: "macvlan", Parent: 4, MAC: top, Up: true},
		6: {Index: 6, Name: "third", Kind: "vlan", Parent: 4, VLAN: 30, Up: true},
		7: {Index: 7, Name: "elsewhere", Kind: "vlan", VLAN: 40, Up: true},
		8: {Index: 8, Name: "ring", Kind: "macvlan", Parent: 8, Up: true},
	}
	settle(links)
	m := &Mirror{links: links}
	for index, want := range map[int]Egress{
		2: {NIC: 2, Source: nic},
		3: {NIC: 2, Source: outer, Tags: [2]uint16{10}, NTags: 1},
		4: {NIC: 2, Source: inner, Tags: [2]uint16{10, 20}, NTags: 2},
		5: {NIC: 2, Source: top, Tags: [2]uint16{10, 20}, NTags: 2},
	} {
		if e, err := m.Egress(index); err != nil || e != want {
			t.Errorf("egress of %d: %+v, %v; want %+v", index, e, err, want)
		}
	}
	for _, index := range []int{6, 7, 8, 99} {
		if e, err := m.Egress(index); !errors.Is(err, ErrNoLink) {
			t.Errorf("egress of %d: %+v, %v", index, e, err)
		}
	}
	if got := links[2].MACs; len(got) != 3 || !slices.Contains(got, top) || !slices.Contains(got, inner) {
		t.Errorf("MAC addresses of the NIC: %v", got)
	}
	again := maps.Clone(links)
	settle(again)
	if !slices.Equal(again[2].MACs, links[2].MACs) {
		t.Errorf("settling twice: %v, then %v", links[2].MACs, again[2].MACs)
	}
}

func TestAddressesAreAddedToldAndRemoved(t *testing.T) {
	l := newLab(t)
	told := &diary[Address]{}
	m := l.open(Config{OnAddress: told.add})
	near := l.index(m, "near")
	for _, vip := range []string{"192.0.2.100", "2001:db8:9::100"} {
		a := ip(vip)
		if m.IsOwn(a) {
			t.Errorf("%s is own before it is added", a)
		}
		if err := m.AddAddress(near, a); err != nil {
			t.Fatal(err)
		}
		if err := m.AddAddress(near, a); !errors.Is(err, ErrExists) {
			t.Errorf("add again: %v", err)
		}
		told.hears(t, vip, func(x Address) bool {
			return x.Ifindex == near && x.Prefix == netip.PrefixFrom(a, a.BitLen()) && !x.Tentative && !x.Removed
		})
		eventually(t, "own and local", func() (any, bool) {
			n := m.Lookup(a, netip.Addr{}, near, 0)
			return n, m.IsOwn(a) && n.Kind == Local
		})
		if err := m.RemoveAddress(near, a); err != nil {
			t.Fatal(err)
		}
		if err := m.RemoveAddress(near, a); err != nil {
			t.Errorf("remove again: %v", err)
		}
		told.hears(t, vip+" gone", func(x Address) bool { return x.Prefix.Addr() == a && x.Removed })
		eventually(t, "no longer own", func() (any, bool) {
			n := m.Lookup(a, netip.Addr{}, near, 0)
			return n, !m.IsOwn(a) && n.Kind == None
		})
		if slices.ContainsFunc(m.Addresses(), func(x Address) bool { return x.Prefix.Addr() == a }) {
			t.Errorf("%s is still listed", a)
		}
	}
	if err := m.AddAddress(9999, ip("192.0.2.1")); err == nil {
		t.Errorf("an address was added to a link that does not exist")
	}
}

func TestRoutesWithASourceGoWithTheAddress(t *testing.T) {
	l := newLab(t)
	l.run(l.near, "ip addr add 10.0.0.100/32 dev near", "ip route add 192.0.2.0/24 via 10.0.0.2 src 10.0.0.100")
	m := l.open(Config{})
	answers(t, m, "192.0.2.1", func(n Next) bool { return n.Source == ip("10.0.0.100") })
	// The kernel drops the route without telling.
	l.run(l.near, "ip addr del 10.0.0.100/32 dev near")
	answers(t, m, "192.0.2.1", func(n Next) bool { return n.Kind == None })
}

func TestSourceIsOnTheGatewaysNetwork(t *testing.T) {
	l := newLab(t)
	l.run(l.near, "ip addr add 10.3.0.1/24 dev near", "ip addr add 10.3.0.9/24 dev near", "ip route add 192.0.2.0/25 via 10.3.0.2",
		"ip route add 192.0.2.128/25 via 10.0.0.2", "ip route add 198.51.100.0/24 via inet6 2001:db8::2 dev near",
		"ip -6 route add 2001:db8:9::/64 via 2001:db8::2")
	m := l.open(Config{})
	for dst, source := range map[string]string{
		"192.0.2.1": "10.3.0.1", "192.0.2.129": "10.0.0.1", "198.51.100.1": "10.0.0.1", "2001:db8:9::1": "2001:db8::1",
	} {
		answers(t, m, dst, func(n Next) bool { return n.Source == ip(source) })
	}
}

func TestSettingsAreThoseOfTheNamespace(t *testing.T) {
	l := newLab(t)
	m := l.open(Config{})
	for _, nic := range []string{All, "near"} {
		for _, on := range []bool{false, true, false} {
			if err := m.SetSendRedirects(nic, on); err != nil {
				t.Fatal(err)
			}
			if got, err := m.SendRedirects(nic); err != nil || got != on {
				t.Errorf("send_redirects of %s: %v, %v; want %v", nic, got, err, on)
			}
		}
	}
	if out := l.output(l.near, "cat /proc/sys/net/ipv4/conf/near/send_redirects"); out != "0\n" {
		t.Errorf("the kernel has %q", out)
	}
	for want, value := range []string{"0", "1", "2"} {
		l.run(l.near, "sysctl -qw net.ipv4.conf.near.rp_filter="+value)
		if got, err := m.ReversePathFilter("near"); err != nil || got != want {
			t.Errorf("rp_filter: %d, %v; want %d", got, err, want)
		}
	}
	for _, nic := range []string{"", "..", "a/b", "nobody"} {
		if _, err := m.SendRedirects(nic); err == nil {
			t.Errorf("%q has send_redirects", nic)
		}
	}
}

func TestAnnouncementFrames(t *testing.T) {
	mac := [6]byte{2, 0, 0, 0, 0, 1}
	for op, target := range map[uint16][]byte{arpRequest: make([]byte, 6), arpReply: mac[:]} {
		want := build(t,
			&layers.Ethernet{SrcMAC: mac[:], DstMAC: layers.EthernetBroadcast, EthernetType: layers.EthernetTypeARP},
			&layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
				Operation: op, SourceHwAddress: mac[:], SourceProtAddress: []byte{192, 0, 2, 1},
				DstHwAddress: target, DstProtAddress: []byte{192, 0, 2, 1}})
		// gopacket pads to Ethernet's least length, here the NIC does.
		if got := gratuitousARP(mac, ip("192.0.2.1"), op); !bytes.Equal(got, want[:42]) {
			t.Errorf("ARP %d\n got %x\nwant %x", op, got, want)
		}
	}
	for flags, router := range map[uint8]bool{0x20: false, 0xa0: true} {
		a := ip("2001:db8::100")
		six := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: a.AsSlice(), DstIP: net.ParseIP("ff02::1")}
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborAdvertisement, 0)}
		if err := icmp.SetNetworkLayerForChecksum(six); err != nil {
			t.Fatal(err)
		}
		want := build(t, &layers.Ethernet{SrcMAC: mac[:], DstMAC: net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, EthernetType: layers.EthernetTypeIPv6},
			six, icmp, &layers.ICMPv6NeighborAdvertisement{Flags: flags, TargetAddress: a.AsSlice(),
				Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: mac[:]}}})
		if got := advertisement(mac, a, router); !bytes.Equal(got, want) {
			t.Errorf("advertisement\n got %x\nwant %x", got, want)
		}
	}
}

func build(t *testing.T, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{ComputeChecksums: true, FixLengths: true}, l...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
