package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// event is something that may happen, as often as its weight says.
type event struct {
	weight int
	name   string
	happen func(a *author, name string)
}

// events are the kinds that the issue of the proof asks for.
var events = []event{
	{14, "SYN to a service", func(a *author, name string) { a.toService(name, protoTCP, "S") }},
	{10, "datagram to a service", func(a *author, name string) { a.toService(name, protoUDP, "") }},
	{5, "TCP flags without a connection", func(a *author, name string) { a.toService(name, protoTCP, a.flags()) }},
	{18, "TCP flags from the client", func(a *author, name string) { a.within(name, "TCP", true, a.flags()) }},
	{18, "TCP flags from the server", func(a *author, name string) { a.within(name, "TCP", false, a.flags()) }},
	{10, "the next segment of a connection", (*author).nextSegment},
	{5, "datagram from the client", func(a *author, name string) { a.within(name, "UDP", true, "") }},
	{6, "datagram from the server", func(a *author, name string) { a.within(name, "UDP", false, "") }},
	{4, "SYN of a used client port", (*author).reuse},
	{3, "packet of no service", (*author).noService},
	{3, "packet of a server without connection", (*author).noConnection},
	{3, "packet to a real server itself", (*author).direct},
	{2, "a server calls a service", (*author).hairpin},
	{5, "UDP without checksum", (*author).noChecksum},
	{2, "wrong transport checksum", (*author).wrongChecksum},
	{1, "wrong header checksum", (*author).wrongHeader},
	{4, "header fields", (*author).headerFields},
	{3, "IPv4 options", (*author).ipOptions},
	{4, "TTL 1 or 2", (*author).shortLived},
	{6, "fragments", (*author).fragments},
	{4, "larger than a route's MTU", (*author).large},
	{6, "ICMP error from a server's side", (*author).errorFromServer},
	{5, "ICMP error from a client's side", (*author).errorFromClient},
	{1, "ICMP error with a wrong checksum", (*author).spoiltError},
	{2, "ICMP error about no connection", (*author).errorAboutNothing},
	{2, "echo request", (*author).echo},
	{1, "another protocol", (*author).otherProtocol},
	{1, "forged source", (*author).forged},
	{3, "server edited", (*author).editServer},
	{2, "weight 0", (*author).quiesce},
	{2, "server added", (*author).addServer},
	{2, "server deleted", (*author).deleteServer},
	{1, "scheduler changed", (*author).editService},
	{1, "service deleted or added", (*author).replaceService},
	{1, "timeouts set", (*author).setTimeouts},
	{1, "refused command", (*author).refused},
	{2, "list", func(a *author, _ string) { a.list() }},
}

func (a *author) event() {
	total := 0
	for _, e := range events {
		total += e.weight
	}
	n := a.IntN(total)
	for _, e := range events {
		if n -= e.weight; n < 0 {
			e.happen(a, e.name)
			return
		}
	}
}

func (a *author) flags() string {
	return choose(a, "S", "SA", "A", "A", "PA", "FA", "FA", "F", "R", "RA", "", "FPU", "SF", "SR", "SEC", "PAU", "SFPU")
}

// fresh gives a probe what hosts choose.
func (a *author) fresh(proto uint8, src, dst netip.AddrPort, flags string) *probe {
	p := newProbe(proto, src, dst)
	p.flags, p.seq, p.ack, p.id, p.df = flags, a.Uint32(), a.Uint32(), uint32(a.IntN(65536)), a.IntN(2) == 0
	p.ttl = choose[uint8](a, 64, 64, 33, 128, 255)
	p.data = make([]byte, choose(a, 0, 0, 1, 5, 64, 333))
	for i := range p.data {
		p.data[i] = byte(i)
	}
	if proto == protoTCP && a.IntN(3) == 0 {
		p.options = payload("hex:020405b40402080a000000640000000001030307")
	}
	return &p
}

func (a *author) toService(name string, proto uint8, flags string) {
	if v, ok := a.any(proto); ok {
		a.send(name, a.fresh(proto, a.client(v.at.Addr().Is6()), v.at, flags))
	}
}

// of returns a packet of a connection.
func (a *author) of(c conn, fromClient bool, flags string) *probe {
	if fromClient {
		return a.fresh(protoOf(c), c.client, c.virtual, flags)
	}
	return a.fresh(protoOf(c), c.real, c.client, flags)
}

func (a *author) within(name, proto string, fromClient bool, flags string) {
	if c, ok := a.some(proto); ok {
		a.send(name, a.of(c, fromClient, flags))
	}
}

// nextSegment is what a healthy connection does next.
func (a *author) nextSegment(name string) {
	c, ok := a.some("TCP")
	if !ok {
		return
	}
	flags := "A"
	switch {
	case c.state == "SYN_RECV":
		a.send(name, a.of(c, false, "SA"))
	case c.state == "ESTABLISHED" && a.IntN(2) == 0:
		flags = "FA"
	}
	a.send(name, a.of(c, c.state == "SYN_RECV" || a.IntN(2) == 0, flags))
}

func (a *author) reuse(name string) { a.within(name, "TCP", true, "S") }

func (a *author) noService(name string) {
	if v, ok := a.any(0); ok {
		to := netip.AddrPortFrom(v.at.Addr(), 99)
		a.send(name, a.fresh(choose[uint8](a, protoTCP, protoUDP), a.client(v.at.Addr().Is6()), to, a.flags()))
	}
}

func (a *author) noConnection(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		a.send(name, a.fresh(v.proto, choose(a, v.servers...), a.client(v.at.Addr().Is6()), a.flags()))
	}
}

func (a *author) direct(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		a.send(name, a.fresh(v.proto, a.client(v.at.Addr().Is6()), choose(a, v.servers...), a.flags()))
	}
}

func (a *author) hairpin(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		from := netip.AddrPortFrom(choose(a, v.servers...).Addr(), uint16(50000+a.IntN(3)))
		a.send(name, a.fresh(v.proto, from, v.at, "S"))
	}
}

func (a *author) noChecksum(name string) {
	if c, ok := a.some("UDP"); ok {
		p := a.of(c, a.IntN(2) == 0, "")
		p.checksum = 0
		a.send(name, p)
	}
}

func (a *author) wrongChecksum(name string) {
	if c, ok := a.some(""); ok {
		p := a.of(c, a.IntN(2) == 0, "A")
		p.checksum = choose(a, 0xdead, 1, 0xffff, 0xfffe)
		a.send(name, p)
	}
}

func (a *author) wrongHeader(name string) {
	if c, ok := a.some(""); ok {
		p := a.of(c, a.IntN(2) == 0, "A")
		p.spoilt = true
		a.send(name, p)
	}
}

func (a *author) headerFields(name string) {
	if c, ok := a.some(""); ok {
		p := a.of(c, a.IntN(2) == 0, "PA")
		p.tos, p.id = uint8(a.Uint32()), choose[uint32](a, 0, 0xffff, 1)
		a.send(name, p)
	}
}

func (a *author) ipOptions(name string) {
	if c, ok := a.some(""); ok && !c.client.Addr().Is6() {
		p := a.of(c, a.IntN(2) == 0, "A")
		p.ipOpts = payload(choose(a, "hex:94040000", "hex:01010101", "hex:07070400000000000000"+"0000", "hex:8307040a01000b00", "hex:440c0500000000000000000000000000"))
		a.send(name, p)
	}
}

func (a *author) shortLived(name string) {
	if c, ok := a.some(""); ok {
		p := a.of(c, a.IntN(2) == 0, "PA")
		p.ttl = choose[uint8](a, 1, 1, 2)
		a.send(name, p)
	}
}

func (a *author) fragments(name string) {
	c, ok := a.some(choose(a, "UDP", "UDP", "TCP"))
	if !ok {
		return
	}
	p := a.of(c, a.IntN(2) == 0, "PA")
	p.data, p.df = payload(fmt.Sprintf("pattern:%d", 600+a.IntN(3000))), false
	p.fragment, p.backward = choose(a, 256, 520, 1000, 1480), a.IntN(3) == 0
	if p.proto == protoUDP && a.IntN(4) == 0 {
		p.checksum = 0
	}
	if p.v6() {
		// One fragment alone would lose its header in the kernel.
		p.fragment = min(p.fragment, 1448, len(p.data)/2)
	}
	a.send(name, p)
}

func (a *author) large(name string) {
	if c, ok := a.some(""); ok {
		p := a.of(c, a.IntN(2) == 0, "PA")
		p.data = payload(fmt.Sprintf("pattern:%d", choose(a, 1150, 1220, 1290, 1400)))
		a.send(name, p)
	}
}

// errorOf is an ICMP error; v6 has other numbers for the same things.
func (a *author) errorOf(src, dst netip.Addr, about *probe) *probe {
	p := newProbe(protoICMP, netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0))
	kinds := [][2]uint8{{3, 0}, {3, 1}, {3, 3}, {3, 4}, {11, 0}, {12, 0}, {4, 0}}
	if src.Is6() {
		p.proto, kinds = protoICMP6, [][2]uint8{{1, 0}, {1, 3}, {1, 4}, {2, 0}, {3, 0}, {4, 0}}
	}
	kind := choose(a, kinds...)
	p.typ, p.code, p.inner, p.id = kind[0], kind[1], about, uint32(a.IntN(65536))
	if kind == [2]uint8{3, 4} || kind == [2]uint8{2, 0} {
		p.mtu = 1400
	}
	if !src.Is6() {
		p.cut = choose(a, 28, 28, 0, 48)
	}
	return &p
}

func (a *author) errorFromServer(name string) {
	if c, ok := a.some(""); ok {
		from := c.real.Addr()
		if a.IntN(3) == 0 && strings.HasPrefix(from.String(), "10.1.") {
			from = netip.MustParseAddr("10.1.0.16") // a router among the servers
		}
		about := a.fresh(protoOf(c), c.client, c.real, "A")
		about.ttl = 63
		a.send(name, a.errorOf(from, c.client.Addr(), about))
	}
}

func (a *author) errorFromClient(name string) {
	if c, ok := a.some(""); ok {
		from := c.client.Addr()
		if a.IntN(3) == 0 && !from.Is6() {
			from = netip.MustParseAddr("203.0.113.254")
		}
		about := a.fresh(protoOf(c), c.virtual, c.client, "A")
		about.ttl = 60
		a.send(name, a.errorOf(from, c.virtual.Addr(), about))
	}
}

func (a *author) spoiltError(name string) {
	if c, ok := a.some(""); ok && !c.client.Addr().Is6() {
		p := a.errorOf(c.real.Addr(), c.client.Addr(), a.fresh(protoOf(c), c.client, c.real, "A"))
		if a.IntN(2) == 0 {
			p = a.errorOf(c.client.Addr(), c.virtual.Addr(), a.fresh(protoOf(c), c.virtual, c.client, "A"))
		}
		p.checksum = 0x1234
		a.send(name, p)
	}
}

func (a *author) errorAboutNothing(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		client := netip.AddrPortFrom(a.client(v.at.Addr().Is6()).Addr(), 39999)
		rip := choose(a, v.servers...)
		if a.IntN(2) == 0 {
			a.send(name, a.errorOf(rip.Addr(), client.Addr(), a.fresh(v.proto, client, rip, "A")))
		} else {
			a.send(name, a.errorOf(client.Addr(), v.at.Addr(), a.fresh(v.proto, v.at, client, "A")))
		}
	}
}

func (a *author) echo(name string) {
	if v, ok := a.any(0); ok {
		p := a.fresh(protoICMP, a.client(v.at.Addr().Is6()), v.at, "")
		if p.typ = 8; p.v6() {
			p.proto, p.typ = protoICMP6, 128
		}
		a.send(name, p)
	}
}

func (a *author) otherProtocol(name string) {
	if v, ok := a.any(0); ok {
		p := a.fresh(choose[uint8](a, 99, 132, 47), a.client(v.at.Addr().Is6()), v.at, "")
		p.data = payload("pattern:40")
		a.send(name, p)
	}
}

// forged packets come from addresses that no other host can have.
func (a *author) forged(name string) {
	if v, ok := a.any(0); ok && !v.at.Addr().Is6() {
		src := choose(a, "203.0.113.100:4000", "203.0.113.2:4000", "10.1.0.1:4000", "127.0.0.1:4000", "224.0.0.5:4000", "255.255.255.255:4000")
		p := a.fresh(v.proto, netip.MustParseAddrPort(src), v.at, "S")
		a.send(name, p)
	}
}

func (a *author) editServer(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		a.order(name, fmt.Sprintf("-e %s -r %v -m -w %d", v.name, choose(a, v.servers...), a.weight()))
	}
}

func (a *author) quiesce(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		a.order(name, fmt.Sprintf("-e %s -r %v -m -w 0", v.name, choose(a, v.servers...)))
	}
}

// at returns where service v is in the author's list.
func (a *author) at(v virtual) *virtual {
	return &a.services[slices.IndexFunc(a.services, func(s virtual) bool { return s.name == v.name })]
}

func (a *author) addServer(name string) {
	if v, ok := a.any(0); ok {
		rip := a.server(&v)
		if mine := a.at(v); !slices.Contains(mine.servers, rip) {
			mine.servers = append(mine.servers, rip)
		}
		a.order(name, fmt.Sprintf("-a %s -r %v -m -w %d", v.name, rip, a.weight()))
	}
}

func (a *author) deleteServer(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		// The author remembers it, so that it is added again and that its
		// packets still come.
		a.order(name, fmt.Sprintf("-d %s -r %v", v.name, choose(a, v.servers...)))
	}
}

func (a *author) editService(name string) {
	if v, ok := a.any(0); ok {
		a.order(name, fmt.Sprintf("-E %s -s %s", v.name, a.scheduler()))
	}
}

func (a *author) replaceService(name string) {
	v, ok := a.any(0)
	if !ok {
		return
	}
	if a.IntN(3) > 0 {
		a.order(name, "-D "+v.name)
		return
	}
	a.order(name, fmt.Sprintf("-A %s -s %s", v.name, a.scheduler()))
	for _, rip := range v.servers {
		a.order(name, fmt.Sprintf("-a %s -r %v -m -w 1", v.name, rip))
	}
}

func (a *author) setTimeouts(name string) {
	a.order(name, fmt.Sprintf("--set %d %d %d", choose(a, 0, 40, 900), choose(a, 0, 20), choose(a, 0, 30)))
}

func (a *author) refused(name string) {
	if v, ok := a.any(0); ok {
		a.order(name, choose(a, "-A "+v.name+" -s rr", "-d "+v.name+" -r 10.9.9.9:1", "-e "+v.name+" -r 10.9.9.9:1 -m",
			"-D -t 203.0.113.100:4444", "-E -u 203.0.113.100:4444 -s rr", "-A -t 203.0.113.100:4445 -s nosuch", "-a -t 203.0.113.100:4446 -r 10.1.0.11:1 -m"))
	}
}
