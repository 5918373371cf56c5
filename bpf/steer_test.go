package bpf

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/gopacket/layers"
)

const (
	drop     = 1
	pass     = 2
	redirect = 4
)

// The director of these tests: clients call on public, servers answer on
// private. Only queue 0 of each has a socket.
var (
	publicMAC  = MAC{2, 0, 0, 0, 0, 1}
	vrrpMAC    = MAC{0, 0, 0x5e, 0, 1, 1} // a second one of public
	privateMAC = MAC{2, 0, 0, 0, 0, 2}
)

type endpoint struct {
	public bool
	tags   []uint16
	proto  uint8
	addr   string
	port   uint16
}

var (
	servicesOfTests = []endpoint{
		{true, nil, 6, "192.0.2.1", 80},
		{true, nil, 17, "192.0.2.2", 0},
		{true, nil, 6, "2001:db8::1", 80},
		{true, []uint16{7}, 6, "192.0.2.7", 80},
		{true, []uint16{8, 9}, 6, "192.0.2.8", 80},
		{false, nil, 6, "192.0.2.1", 80},
	}
	repliesOfTests = []endpoint{
		{false, nil, 6, "10.0.0.11", 8080},
		{false, nil, 17, "10.0.0.12", 0},
		{false, nil, 6, "fd00::11", 8080},
		{false, []uint16{7}, 132, "10.0.0.13", 8080},
	}
	ownOfTests = []string{"192.0.2.1", "10.0.0.1", "fd00::1"}
)

// stand is a Steering with two NICs in a network namespace.
type stand struct {
	*Steering
	public, private int
}

func newStand(t testing.TB) *stand {
	t.Helper()
	inNetns(t)
	s, err := Load(Config{FrameBytes: 2000})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	d := &stand{s, addVeth(t, "n0", "p0", 4), addVeth(t, "n1", "p1", 4)}
	must(t, s.AddNIC(d.public, publicMAC, vrrpMAC))
	must(t, s.AddNIC(d.private, privateMAC))
	for _, e := range servicesOfTests {
		must(t, s.AddService(d.link(e), e.proto, netip.MustParseAddr(e.addr), e.port))
	}
	for _, e := range repliesOfTests {
		must(t, s.AddReply(d.link(e), e.proto, netip.MustParseAddr(e.addr), e.port))
	}
	for _, a := range ownOfTests {
		must(t, s.AddOwn(netip.MustParseAddr(a)))
	}
	must(t, s.SetSocket(d.public, 0, newSocket(t)))
	must(t, s.SetSocket(d.private, 0, newSocket(t)))
	return d
}

func (d *stand) link(e endpoint) Link {
	l := Link{Ifindex: d.private, NTags: uint8(len(e.tags))}
	if e.public {
		l.Ifindex = d.public
	}
	copy(l.Tags[:], e.tags)
	return l
}

// run sends one frame through the program as received on a queue.
func (d *stand) run(t testing.TB, ifindex, queue int, frame []byte) int {
	t.Helper()
	md := make([]byte, 24) // struct xdp_md
	binary.NativeEndian.PutUint32(md[4:], uint32(len(frame)))
	binary.NativeEndian.PutUint32(md[12:], uint32(ifindex))
	binary.NativeEndian.PutUint32(md[16:], uint32(queue))
	verdict, err := d.objects.LvxSteer.Run(&ebpf.RunOptions{Data: frame, Context: md, Repeat: 1})
	must(t, err)
	return int(verdict)
}

func (d *stand) count(t testing.TB) Counters {
	t.Helper()
	c, err := d.Counters()
	must(t, err)
	return c
}

func (c Counters) minus(o Counters) Counters {
	return Counters{
		c.Services - o.Services, c.Replies - o.Replies, c.Errors - o.Errors,
		c.Fragments - o.Fragments, c.NoSocket - o.NoSocket, c.TooLarge - o.TooLarge,
	}
}

var (
	passed   = Counters{}
	service  = Counters{Services: 1}
	reply    = Counters{Replies: 1}
	icmpErr  = Counters{Errors: 1}
	fragment = Counters{Fragments: 1}
	noSocket = Counters{NoSocket: 1}
	tooLarge = Counters{TooLarge: 1}
)

// steered is a frame, where it arrives and what must become of it.
type steered struct {
	name  string
	frame []byte
	queue int
	want  Counters // zero: passed to the kernel
}

// check has no subtests: they would run on other threads, outside the network
// namespace.
func (d *stand) check(t *testing.T, ifindex int, cases []steered) {
	t.Helper()
	for _, c := range cases {
		verdict := redirect
		switch c.want {
		case passed:
			verdict = pass
		case noSocket, tooLarge:
			verdict = drop
		}
		before := d.count(t)
		if got := d.run(t, ifindex, c.queue, c.frame); got != verdict {
			t.Errorf("%s: verdict %d, want %d", c.name, got, verdict)
		}
		if got := d.count(t).minus(before); got != c.want {
			t.Errorf("%s: counted %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestFramesOfClients(t *testing.T) {
	d := newStand(t)
	pub := frame{dst: publicMAC}
	tagged := func(ids ...uint16) frame { return frame{dst: publicMAC, tags: ids} }
	syn := tcp("198.51.100.7:40000", "192.0.2.1:80")
	syn6 := tcp("[2001:db8:7::7]:40000", "[2001:db8::1]:80")
	const client, client6 = "198.51.100.7", "2001:db8:7::7"
	d.check(t, d.public, []steered{
		{"to a service", pub.ethernet(syn), 0, service},
		{"to a service, IPv6", pub.ethernet(syn6), 0, service},
		{"to the second MAC address", frame{dst: vrrpMAC}.ethernet(syn), 0, service},
		{"to another MAC address", frame{dst: MAC{2, 0, 0, 0, 0, 3}}.ethernet(syn), 0, passed},
		{"to the MAC address of another NIC", frame{dst: privateMAC}.ethernet(syn), 0, passed},
		{"to a multicast MAC address", frame{dst: MAC{3, 0, 0, 0, 0, 1}}.ethernet(syn), 0, passed},
		{"to everybody", frame{dst: MAC{255, 255, 255, 255, 255, 255}}.ethernet(syn), 0, passed},
		{"to another port", pub.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:22")), 0, passed},
		{"to another address", pub.ethernet(tcp("198.51.100.7:40000", "192.0.2.3:80")), 0, passed},
		{"of another protocol", pub.ethernet(udp("198.51.100.7:40000", "192.0.2.1:80")), 0, passed},
		{"to any port", pub.ethernet(udp("198.51.100.7:40000", "192.0.2.2:4711")), 0, service},
		{"to any port, of another protocol", pub.ethernet(tcp("198.51.100.7:40000", "192.0.2.2:4711")), 0, passed},
		{"with IPv4 options", pub.ethernet(withOptions(slices.Clone(syn))), 0, service},
		{"with IPv6 extension headers", pub.ethernet(withExtensions(slices.Clone(syn6), 0, 60, 43)), 0, service},
		{"with seven extension headers", pub.ethernet(withExtensions(slices.Clone(syn6), 0, 60, 43, 60, 60, 60, 60)), 0, service},
		{"with eight extension headers", pub.ethernet(withExtensions(slices.Clone(syn6), 0, 60, 43, 60, 60, 60, 60, 60)), 0, passed},
		{"with an unknown extension header", pub.ethernet(withExtensions(slices.Clone(syn6), 135)), 0, passed},
		{"with the tag of a service", tagged(7).ethernet(tcp("198.51.100.7:40000", "192.0.2.7:80")), 0, service},
		{"without the tag of a service", pub.ethernet(tcp("198.51.100.7:40000", "192.0.2.7:80")), 0, passed},
		{"with a tag that the service has not", tagged(7).ethernet(syn), 0, passed},
		{"with two tags", frame{publicMAC, []uint16{8, 9}, true}.ethernet(tcp("198.51.100.7:40000", "192.0.2.8:80")), 0, service},
		{"with two tags in the other order", tagged(9, 8).ethernet(tcp("198.51.100.7:40000", "192.0.2.8:80")), 0, passed},
		{"with three tags", tagged(7, 8, 9).ethernet(syn), 0, passed},
		{"with a priority only", tagged(0).ethernet(syn), 0, service},
		{"with a priority before the tag", tagged(0, 7).ethernet(tcp("198.51.100.7:40000", "192.0.2.7:80")), 0, service},
		{"that asks for an echo", pub.ethernet(icmp(client, "192.0.2.1", 8, ports(1, 1))), 0, passed},
		{"that asks for an echo, IPv6", pub.ethernet(icmp(client6, "2001:db8::1", 128, ports(1, 1))), 0, passed},
		{"first fragment", pub.ethernet(withOffset(slices.Clone(syn), 0x2000)), 0, fragment},
		{"later fragment", pub.ethernet(withOffset(slices.Clone(syn), 0x2002)), 0, fragment},
		{"last fragment", pub.ethernet(withOffset(slices.Clone(syn), 4)), 0, fragment},
		{"unfragmented that may not be", pub.ethernet(withOffset(slices.Clone(syn), 0x4000)), 0, service},
		{"fragment to another port", pub.ethernet(withOffset(tcp("198.51.100.7:40000", "192.0.2.1:22"), 0x2000)), 0, fragment},
		{"fragment of another protocol", pub.ethernet(withOffset(icmp(client, "192.0.2.1", 8, nil), 0x2000)), 0, fragment},
		{"fragment to another address", pub.ethernet(withOffset(tcp("198.51.100.7:40000", "192.0.2.3:80"), 0x2000)), 0, passed},
		{"fragment, IPv6", pub.ethernet(withExtensions(slices.Clone(syn6), 44)), 0, fragment},
		{"fragment behind options, IPv6", pub.ethernet(withExtensions(slices.Clone(syn6), 0, 44)), 0, fragment},
		{"on a queue without a socket", pub.ethernet(syn), 1, noSocket},
		{"fragment on a queue without a socket", pub.ethernet(withOffset(slices.Clone(syn), 4)), 1, noSocket},
		{"of the kernel on a queue without a socket", pub.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:22")), 1, passed},
		{"as long as a chunk", pub.udp(client, "192.0.2.2", 1, 2, make([]byte, 2000-42)), 0, service},
		{"longer than a chunk", pub.udp(client, "192.0.2.2", 1, 2, make([]byte, 2001-42)), 0, tooLarge},
		{"of the kernel, longer than a chunk", pub.udp(client, "192.0.2.1", 1, 2, make([]byte, 2001-42)), 0, passed},
		{"from a server's address", pub.ethernet(tcp("10.0.0.11:8080", "198.51.100.7:40000")), 0, passed},
		{"that is ARP", serialize(&layers.Ethernet{DstMAC: publicMAC[:], SrcMAC: vrrpMAC[:], EthernetType: layers.EthernetTypeARP}), 0, passed},
	})
}

func TestTheNICOfLargeFramesIsKnown(t *testing.T) {
	d := newStand(t)
	long := make([]byte, 2001-42)
	for _, step := range []struct {
		frame []byte
		nic   int
	}{
		{frame{dst: publicMAC}.udp("198.51.100.7", "192.0.2.2", 1, 2, nil), 0},
		{frame{dst: publicMAC}.udp("198.51.100.7", "192.0.2.1", 1, 2, long), 0}, // of the kernel
		{frame{dst: publicMAC}.udp("198.51.100.7", "192.0.2.2", 1, 2, long), d.public},
		{frame{dst: privateMAC}.udp("10.0.0.12", "198.51.100.7", 1, 2, long), d.private},
	} {
		nic := d.public
		if MAC(step.frame[:6]) == privateMAC {
			nic = d.private
		}
		d.run(t, nic, 0, step.frame)
		got, err := d.Large()
		if must(t, err); got != step.nic {
			t.Errorf("the NIC of the last large frame is %d, want %d", got, step.nic)
		}
	}
}

func TestFramesOfServers(t *testing.T) {
	d := newStand(t)
	priv := frame{dst: privateMAC}
	answer := tcp("10.0.0.11:8080", "198.51.100.7:40000")
	answer6 := tcp("[fd00::11]:8080", "[2001:db8:7::7]:40000")
	d.check(t, d.private, []steered{
		{"reply", priv.ethernet(answer), 0, reply},
		{"reply, IPv6", priv.ethernet(answer6), 0, reply},
		{"reply with options", priv.ethernet(withOptions(slices.Clone(answer))), 0, reply},
		{"reply from any port", priv.ethernet(udp("10.0.0.12:53", "198.51.100.7:40000")), 0, reply},
		{"reply with a tag, SCTP", frame{dst: privateMAC, tags: []uint16{7}}.ethernet(
			packet(layers.IPProtocolSCTP, "10.0.0.13:8080", "198.51.100.7:40000")), 0, reply},
		{"from another port", priv.ethernet(tcp("10.0.0.11:22", "198.51.100.7:40000")), 0, passed},
		{"from another server", priv.ethernet(tcp("10.0.0.14:8080", "198.51.100.7:40000")), 0, passed},
		{"of another protocol", priv.ethernet(udp("10.0.0.11:8080", "198.51.100.7:40000")), 0, passed},
		{"to the director", priv.ethernet(tcp("10.0.0.11:8080", "10.0.0.1:40000")), 0, passed},
		{"to the director, IPv6", priv.ethernet(tcp("[fd00::11]:8080", "[fd00::1]:40000")), 0, passed},
		{"to a VIP that is no service there", priv.ethernet(tcp("10.0.0.11:8080", "192.0.2.1:40000")), 0, passed},
		{"to a service, from the port of a reply", priv.ethernet(tcp("10.0.0.11:8080", "192.0.2.1:80")), 0, service},
		{"fragment", priv.ethernet(withOffset(slices.Clone(answer), 4)), 0, fragment},
		{"fragment from another port", priv.ethernet(withOffset(tcp("10.0.0.11:22", "198.51.100.7:40000"), 0x2000)), 0, fragment},
		{"fragment, IPv6", priv.ethernet(withExtensions(slices.Clone(answer6), 44)), 0, fragment},
		{"fragment to the director", priv.ethernet(withOffset(tcp("10.0.0.11:8080", "10.0.0.1:40000"), 4)), 0, passed},
		{"fragment to a VIP", priv.ethernet(withOffset(tcp("10.0.0.11:8080", "192.0.2.1:40000"), 4)), 0, fragment},
		{"reply on a queue without a socket", priv.ethernet(answer), 2, noSocket},
		{"to the director on a queue without a socket", priv.ethernet(tcp("10.0.0.11:8080", "10.0.0.1:40000")), 2, passed},
	})
}

func TestICMPErrorsAreJudgedByWhatTheyQuote(t *testing.T) {
	d := newStand(t)
	pub, priv := frame{dst: publicMAC}, frame{dst: privateMAC}
	const router, router6 = "203.0.113.1", "2001:db8:9::1"
	answer := tcp("192.0.2.1:80", "198.51.100.7:40000")
	answer6 := tcp("[2001:db8::1]:80", "[2001:db8:7::7]:40000")
	public := []steered{
		{"about an answer, IPv6", pub.ethernet(icmp(router6, "2001:db8::1", 2, answer6)), 0, icmpErr},
		{"about an answer with extension headers", pub.ethernet(icmp(router6, "2001:db8::1", 1,
			withExtensions(slices.Clone(answer6), 0, 60))), 0, icmpErr},
		{"behind an extension header", pub.ethernet(withExtensions(icmp(router6, "2001:db8::1", 1, answer6), 0)), 0, icmpErr},
		{"about an answer with options", pub.ethernet(icmp(router, "192.0.2.1", 3, withOptions(slices.Clone(answer)))), 0, icmpErr},
		{"that quotes 8 bytes of an answer", pub.ethernet(icmp(router, "192.0.2.1", 3, answer[:28])), 0, icmpErr},
		{"that quotes no ports", pub.ethernet(icmp(router, "192.0.2.1", 3, answer[:23])), 0, passed},
		{"about a fragment of an answer", pub.ethernet(icmp(router, "192.0.2.1", 3, withOffset(slices.Clone(answer), 4)[:28])), 0, icmpErr},
		{"about a UDP answer of any port", pub.ethernet(icmp(router, "192.0.2.2", 3, udp("192.0.2.2:53", "198.51.100.7:40000"))), 0, icmpErr},
		{"about the kernel's own", pub.ethernet(icmp(router, "192.0.2.1", 3, tcp("192.0.2.1:22", "198.51.100.7:40000"))), 0, passed},
		{"about an echo", pub.ethernet(icmp(router, "192.0.2.1", 3, icmp("192.0.2.1", "198.51.100.7", 0, nil))), 0, passed},
		{"of IPv6 that quotes IPv4", pub.ethernet(icmp(router6, "2001:db8::1", 1, answer)), 0, passed},
		{"on a queue without a socket", pub.ethernet(icmp(router, "192.0.2.1", 3, answer)), 1, noSocket},
	}
	for _, typ := range []byte{3, 4, 11, 12} {
		public = append(public, steered{"about an answer", pub.ethernet(icmp(router, "192.0.2.1", typ, answer)), 0, icmpErr})
	}
	for _, typ := range []byte{0, 5, 8, 9, 10, 13} {
		public = append(public, steered{"no error", pub.ethernet(icmp(router, "192.0.2.1", typ, answer)), 0, passed})
	}
	d.check(t, d.public, public)
	request := tcp("198.51.100.7:40000", "10.0.0.11:8080")
	d.check(t, d.private, []steered{
		{"about a request", priv.ethernet(icmp("10.0.0.11", "198.51.100.7", 3, request)), 0, icmpErr},
		{"about a request, from a router", priv.ethernet(icmp("10.0.0.254", "198.51.100.7", 11, request)), 0, icmpErr},
		{"about a request, IPv6", priv.ethernet(icmp("fd00::11", "2001:db8:7::7", 1,
			tcp("[2001:db8:7::7]:40000", "[fd00::11]:8080"))), 0, icmpErr},
		{"about a health check", priv.ethernet(icmp("10.0.0.11", "10.0.0.1", 3, tcp("10.0.0.1:40000", "10.0.0.11:8080"))), 0, passed},
		{"about another port", priv.ethernet(icmp("10.0.0.11", "198.51.100.7", 3, tcp("198.51.100.7:40000", "10.0.0.11:22"))), 0, passed},
	})
}

func TestCutFramesArePassedUntilTheirPortsAreThere(t *testing.T) {
	d := newStand(t)
	pub := frame{dst: publicMAC}
	answer6 := tcp("[2001:db8::1]:80", "[2001:db8:7::7]:40000")
	for _, c := range []struct {
		name  string
		frame []byte
		need  int
	}{
		{"IPv4", pub.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:80")), 14 + 20 + 4},
		{"options", pub.ethernet(withOptions(tcp("198.51.100.7:40000", "192.0.2.1:80"))), 14 + 28 + 4},
		{"two tags", frame{dst: publicMAC, tags: []uint16{8, 9}}.ethernet(tcp("198.51.100.7:40000", "192.0.2.8:80")), 22 + 20 + 4},
		{"IPv6", pub.ethernet(withExtensions(tcp("[2001:db8:7::7]:40000", "[2001:db8::1]:80"), 0, 60)), 14 + 40 + 24 + 4},
		{"error", pub.ethernet(icmp("2001:db8:9::1", "2001:db8::1", 1, withExtensions(answer6, 60, 60))), 14 + 40 + 8 + 40 + 24 + 4},
	} {
		for n := 14; n <= len(c.frame); n++ {
			want := pass
			if n >= c.need {
				want = redirect
			}
			if got := d.run(t, d.public, 0, c.frame[:n]); got != want {
				t.Errorf("%s cut to %d bytes: verdict %d, want %d", c.name, n, got, want)
			}
		}
	}
}
