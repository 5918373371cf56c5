package bpf

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"
)

// twin is steer.c written a second time, slowly: the same rules over slices.
type twin struct {
	macs              []MAC
	services, replies []endpoint
	own               []netip.Addr
	zones             []Zone // of the link without tags
	awaited           []uint16
}

// end is an address and port of a packet.
type end struct {
	addr netip.Addr
	port uint16
}

// seen is what the twin reads from a packet.
type seen struct {
	src, dst end
	proto    uint8
	fragment bool
	payload  []byte
}

func (w *twin) judge(b []byte) Counters {
	if len(b) < 14 || !slices.Contains(w.macs, MAC(b[:6])) {
		return passed
	}
	kind, b := binary.BigEndian.Uint16(b[12:]), b[14:]
	tags := []uint16{}
	for n := 0; n < 2 && (kind == 0x8100 || kind == 0x88a8); n++ {
		if len(b) < 4 {
			return passed
		}
		if id := binary.BigEndian.Uint16(b) & 0xfff; id != 0 {
			tags = append(tags, id)
		}
		kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	p, ok := readIP(kind, b)
	if !ok {
		return passed
	}
	to, toService, fromServer := p.dst.addr, service, reply
	switch {
	case p.fragment:
		toService, fromServer = fragment, fragment
	case p.proto == 1 && kind == 0x0800 || p.proto == 58 && kind == 0x86dd:
		errors := map[uint8][]byte{1: {3, 4, 11, 12}, 58: {1, 2, 3, 4}}[p.proto]
		if len(p.payload) < 8 || !slices.Contains(errors, p.payload[0]) {
			return passed
		}
		if p, ok = readIP(kind, p.payload[8:]); !ok {
			return passed
		}
		p.src, p.dst = p.dst, p.src
		toService, fromServer = icmpErr, icmpErr
		if !p.fragment && !p.readPorts(&p.dst, &p.src) {
			return passed
		}
	}
	if toService == service && !p.readPorts(&p.src, &p.dst) {
		return passed
	}
	if w.holds(w.services, tags, p, p.dst) {
		return toService
	}
	if w.holds(w.replies, tags, p, p.src) && !slices.Contains(w.own, to) {
		return fromServer
	}
	if len(tags) == 0 && isMarked(w.zones, p) {
		return toService
	}
	return passed
}

// isMarked finds the longest zone of each protocol that a packet may have.
func isMarked(zones []Zone, p seen) bool {
	for _, proto := range []uint8{6, 17, 132} {
		var best *Zone
		for i := range zones {
			z := &zones[i]
			if z.Protocol == proto && z.Prefix.Contains(p.dst.addr) && (best == nil || z.Prefix.Bits() > best.Prefix.Bits()) {
				best = z
			}
		}
		if best != nil && (p.fragment && len(best.Ports) > 0 || !p.fragment && p.proto == proto && slices.ContainsFunc(best.Ports, func(r [2]uint16) bool {
			return r[0] <= p.dst.port && p.dst.port <= r[1]
		})) {
			return true
		}
	}
	return false
}

func readIP(kind uint16, b []byte) (p seen, ok bool) {
	if kind == 0x0800 && len(b) >= 20 && b[0]>>4 == 4 {
		n := int(b[0]&15) * 4
		if n < 20 || n > len(b) {
			return p, false
		}
		p.src.addr, p.dst.addr = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		p.proto, p.fragment, p.payload = b[9], binary.BigEndian.Uint16(b[6:])&0x3fff != 0, b[n:]
		return p, true
	}
	if kind != 0x86dd || len(b) < 40 || b[0]>>4 != 6 {
		return p, false
	}
	p.src.addr, p.dst.addr = netip.AddrFrom16([16]byte(b[8:])).Unmap(), netip.AddrFrom16([16]byte(b[24:])).Unmap()
	p.proto, p.payload = b[6], b[40:]
	for range 8 {
		if p.proto == 44 {
			p.fragment = true
			return p, true
		}
		if p.proto != 0 && p.proto != 43 && p.proto != 60 {
			return p, true
		}
		if len(p.payload) < 8 || len(p.payload) < 8+8*int(p.payload[1]) {
			return p, false
		}
		p.proto, p.payload = p.payload[0], p.payload[8+8*int(p.payload[1]):]
	}
	return p, false
}

func (p *seen) readPorts(first, second *end) bool {
	if p.proto != 6 && p.proto != 17 && p.proto != 132 || len(p.payload) < 4 {
		return false
	}
	first.port, second.port = binary.BigEndian.Uint16(p.payload), binary.BigEndian.Uint16(p.payload[2:])
	return true
}

func (w *twin) holds(list []endpoint, tags []uint16, p seen, e end) bool {
	return slices.ContainsFunc(list, func(l endpoint) bool {
		return slices.Equal(l.tags, tags) && netip.MustParseAddr(l.addr) == e.addr &&
			(p.fragment || l.proto == p.proto && (l.port == 0 || l.port == e.port) || p.proto == 6 && slices.Contains(w.awaited, e.port))
	})
}

// onLoopback is a Steering whose only link is the loopback interface, which
// every network namespace has, with the rules of its twin.
func onLoopback(t testing.TB) (*stand, *twin) {
	t.Helper()
	needRoot(t)
	s, err := Load(Config{})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	d, w := &stand{s, 1, 1}, &twin{macs: []MAC{publicMAC}}
	must(t, s.AddNIC(1, publicMAC))
	must(t, s.SetSocket(1, 0, newSocket(t)))
	for _, e := range servicesOfTests {
		must(t, s.AddService(d.link(e), e.proto, netip.MustParseAddr(e.addr), e.port))
		w.services = append(w.services, e)
	}
	for _, e := range repliesOfTests {
		must(t, s.AddReply(d.link(e), e.proto, netip.MustParseAddr(e.addr), e.port))
		w.replies = append(w.replies, e)
	}
	for _, a := range ownOfTests {
		must(t, s.AddOwn(netip.MustParseAddr(a)))
		w.own = append(w.own, netip.MustParseAddr(a))
	}
	must(t, s.SetZones(Link{Ifindex: 1}, zonesOfTests))
	w.zones = zonesOfTests
	awaited, err := s.Awaited()
	must(t, err)
	w.awaited = []uint16{20, 50000}
	for _, port := range w.awaited {
		awaited[port].Store(1)
	}
	return d, w
}

func (d *stand) compare(t *testing.T, w *twin, frame []byte) {
	t.Helper()
	if len(frame) < 14 || len(frame) > 2000 {
		return // the kernel runs no others
	}
	want, before := w.judge(frame), d.count(t)
	verdict := d.run(t, 1, 0, frame)
	if got := d.count(t).minus(before); got != want || (verdict == redirect) != (want != passed) {
		t.Errorf("verdict %d, counted %+v, want %+v, frame %x", verdict, got, want, frame)
	}
}

// frames of every kind that steering tells apart.
func framesOfEveryKind() [][]byte {
	pub := frame{dst: publicMAC}
	syn, syn6 := tcp("198.51.100.7:40000", "192.0.2.1:80"), tcp("[2001:db8:7::7]:40000", "[2001:db8::1]:80")
	answer, answer6 := tcp("192.0.2.1:80", "198.51.100.7:40000"), tcp("[2001:db8::1]:80", "[2001:db8:7::7]:40000")
	return [][]byte{
		pub.ethernet(syn), pub.ethernet(syn6),
		pub.ethernet(withOptions(slices.Clone(syn))),
		pub.ethernet(withExtensions(slices.Clone(syn6), 0, 60)),
		pub.ethernet(withExtensions(slices.Clone(syn6), 0, 60, 43, 60, 60, 60, 60)),
		pub.ethernet(withExtensions(slices.Clone(syn6), 60, 44)),
		pub.ethernet(withOffset(slices.Clone(syn), 4)),
		pub.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:50000")),
		pub.ethernet(tcp("10.0.0.11:20", "198.51.100.7:40000")),
		pub.ethernet(tcp("[fd00::11]:50000", "[2001:db8:7::7]:40000")),
		pub.ethernet(udp("198.51.100.7:1", "192.0.2.2:2")),
		pub.ethernet(tcp("10.0.0.11:8080", "198.51.100.7:40000")),
		pub.ethernet(tcp("10.0.0.11:8080", "10.0.0.1:40000")),
		pub.ethernet(tcp("[fd00::11]:8080", "[2001:db8:7::7]:40000")),
		pub.ethernet(udp("10.0.0.12:1", "198.51.100.7:40000")),
		frame{publicMAC, []uint16{7}, false}.ethernet(tcp("198.51.100.7:40000", "192.0.2.7:80")),
		frame{publicMAC, []uint16{8, 9}, true}.ethernet(tcp("198.51.100.7:40000", "192.0.2.8:80")),
		frame{publicMAC, []uint16{7}, false}.ethernet(packet(layers.IPProtocolSCTP, "10.0.0.13:8080", "198.51.100.7:1")),
		pub.ethernet(tcp("198.51.100.7:40000", "203.0.113.9:443")), pub.ethernet(udp("198.51.100.7:40000", "203.0.113.9:53")),
		pub.ethernet(tcp("198.51.100.7:40000", "203.0.113.7:443")), pub.ethernet(tcp("[2001:db8:7::7]:40000", "[2001:db8:5::9]:1")),
		pub.ethernet(withOffset(udp("198.51.100.7:40000", "203.0.113.9:53"), 4)), pub.ethernet(withOffset(tcp("198.51.100.7:40000", "203.0.113.7:80"), 4)),
		pub.ethernet(icmp("203.0.113.1", "203.0.113.9", 3, tcp("203.0.113.9:443", "198.51.100.7:40000"))),
		pub.ethernet(icmp("203.0.113.1", "192.0.2.1", 3, answer)),
		pub.ethernet(icmp("203.0.113.1", "192.0.2.1", 3, withOptions(answer))),
		pub.ethernet(icmp("2001:db8:9::1", "2001:db8::1", 1, withExtensions(answer6, 60))),
		pub.ethernet(icmp("10.0.0.11", "198.51.100.7", 3, tcp("198.51.100.7:1", "10.0.0.11:8080"))),
		pub.ethernet(icmp("10.0.0.11", "10.0.0.1", 3, tcp("10.0.0.1:1", "10.0.0.11:8080"))),
	}
}

func TestSteeringAgreesWithItsTwin(t *testing.T) {
	d, w := onLoopback(t)
	r := rand.New(rand.NewPCG(1, 2))
	kinds := framesOfEveryKind()
	for n := 0; n < 20000 && !t.Failed(); n++ {
		f := slices.Clone(kinds[n%len(kinds)])
		for range r.IntN(3) {
			f[12+r.IntN(len(f)-12)] = []byte{0, 1, 4, 6, 17, 44, 58, 60, 0x45, 0x60, 0xff, byte(r.Uint32())}[r.IntN(12)]
		}
		if r.IntN(4) == 0 {
			f = f[:14+r.IntN(len(f)-13)]
		}
		d.compare(t, w, f)
	}
}

func FuzzSteer(f *testing.F) {
	d, w := onLoopback(f)
	for _, b := range framesOfEveryKind() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { d.compare(t, w, b) })
}
