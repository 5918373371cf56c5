package bpf

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"
)

// BenchmarkNothing measures what BPF_PROG_TEST_RUN itself costs a frame.
func BenchmarkNothing(b *testing.B) {
	needRoot(b)
	w, err := NewWayBack()
	must(b, err)
	defer w.Close()
	_, each, err := w.pass.Benchmark(make([]byte, 60), max(b.N, 1000), nil)
	must(b, err)
	b.ReportMetric(float64(each.Nanoseconds()), "ns/packet")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkInject measures the way back of a frame that no protocol wants.
func BenchmarkInject(b *testing.B) {
	inNetns(b)
	w, err := NewWayBack()
	must(b, err)
	defer w.Close()
	nic, f := addVeth(b, "n0", "p0", 1), make([]byte, 100)
	for b.Loop() {
		must(b, w.Inject(nic, f))
	}
}

// BenchmarkSteer measures the program alone, on the loopback interface, where
// BPF_PROG_TEST_RUN puts frames of no NIC.
func BenchmarkSteer(b *testing.B) {
	d := newStand(b)
	must(b, d.AddNIC(1, publicMAC))
	must(b, d.SetSocket(1, 0, newSocket(b)))
	lo := Link{Ifindex: 1}
	must(b, d.AddService(lo, 6, netip.MustParseAddr("192.0.2.1"), 80))
	must(b, d.AddService(lo, 6, netip.MustParseAddr("2001:db8::1"), 80))
	must(b, d.AddReply(lo, 6, netip.MustParseAddr("10.0.0.11"), 8080))
	for _, e := range servicesOfTests { // most directors have no service of any port
		if e.port == 0 {
			must(b, d.RemoveService(d.link(e), e.proto, netip.MustParseAddr(e.addr), 0))
		}
	}
	for _, e := range repliesOfTests {
		if e.port == 0 {
			must(b, d.RemoveReply(d.link(e), e.proto, netip.MustParseAddr(e.addr), 0))
		}
	}
	own := frame{dst: publicMAC}
	for _, c := range []struct {
		name  string
		frame []byte
		want  uint32
	}{
		{"pass/foreign-mac", frame{dst: privateMAC}.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:80")), pass},
		{"pass/arp", serialize(&layers.Ethernet{DstMAC: publicMAC[:], SrcMAC: vrrpMAC[:], EthernetType: layers.EthernetTypeARP}), pass},
		{"pass/ssh", own.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:22")), pass},
		{"pass/ssh-ipv6", own.ethernet(tcp("[2001:db8:7::7]:40000", "[2001:db8::1]:22")), pass},
		{"redirect/service", own.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:80")), redirect},
		{"redirect/service-ipv6", own.ethernet(tcp("[2001:db8:7::7]:40000", "[2001:db8::1]:80")), redirect},
		{"redirect/reply", own.ethernet(tcp("10.0.0.11:8080", "198.51.100.7:40000")), redirect},
		{"redirect/fragment", own.ethernet(withOffset(tcp("198.51.100.7:40000", "192.0.2.1:80"), 4)), redirect},
	} {
		b.Run(c.name, func(b *testing.B) {
			got, each, err := d.objects.LvxSteer.Benchmark(c.frame, max(b.N, 1000), nil)
			must(b, err)
			if got != c.want {
				b.Fatalf("verdict %d, want %d", got, c.want)
			}
			b.ReportMetric(float64(each.Nanoseconds()), "ns/packet")
			b.ReportMetric(0, "ns/op")
		})
	}
}
