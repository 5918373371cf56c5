package oracle

import (
	"fmt"
	"net/netip"
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
	{8, "SCTP packet to a service", func(a *author, name string) { a.toService(name, protoSCTP, a.opening()) }},
	{12, "the next packet of an association", (*author).nextChunk},
	{8, "SCTP chunk from the client", func(a *author, name string) { a.within(name, "SCTP", true, a.chunk()) }},
	{8, "SCTP chunk from the server", func(a *author, name string) { a.within(name, "SCTP", false, a.chunk()) }},
	{5, "TCP flags without a connection", func(a *author, name string) { a.toService(name, protoTCP, a.flags()) }},
	{18, "TCP flags from the client", func(a *author, name string) { a.within(name, "TCP", true, a.flags()) }},
	{18, "TCP flags from the server", func(a *author, name string) { a.within(name, "TCP", false, a.flags()) }},
	{10, "the next segment of a connection", (*author).nextSegment},
	{5, "datagram from the client", func(a *author, name string) { a.within(name, "UDP", true, "") }},
	{6, "datagram from the server", func(a *author, name string) { a.within(name, "UDP", false, "") }},
	{4, "SYN of a used client port", (*author).reuse},
	{3, "port reuse in TIME_WAIT", (*author).reuseInTimeWait},
	{6, "another connection of a client", (*author).again},
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
	{3, "service edited", (*author).editService},
	{2, "sysctl changed", (*author).changeSysctl},
	{1, "service deleted or added", (*author).replaceService},
	{1, "timeouts set", (*author).setTimeouts},
	{2, "mark rules changed", (*author).changeMarks},
	{5, "FTP: a client dials", (*author).dial},
	{14, "FTP: a request and its answer", (*author).converse},
	{14, "FTP: a data connection", (*author).transfer},
	{3, "FTP: the end of a dialog", (*author).hangUp},
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

// calls is where a client calls service v: some port, if it is for all.
func (a *author) calls(v *virtual) netip.AddrPort {
	if len(v.marks) > 0 {
		return a.marked(v)
	}
	if v.at.Port() != 0 {
		return v.at
	}
	return netip.AddrPortFrom(v.at.Addr(), choose[uint16](a, 80, 443, 2222))
}

// answers is where server rip of service v answers from.
func (a *author) answers(v *virtual, rip netip.AddrPort) netip.AddrPort {
	if rip.Port() != 0 {
		return rip
	}
	return netip.AddrPortFrom(rip.Addr(), a.calls(v).Port())
}

func (a *author) toService(name string, proto uint8, flags string) {
	if v, ok := a.any(proto); ok {
		a.send(name, a.fresh(proto, a.client(v.at.Addr().Is6()), a.calls(&v), flags))
	}
}

// opens are the flags or the chunk that open a connection.
func opens(proto uint8) string {
	if proto == protoSCTP {
		return "INIT"
	}
	return "S"
}

// again has a client that has a connection open one more: its template, or its
// hash, decides.
func (a *author) again(name string) {
	if c, ok := a.some(""); ok {
		from := netip.AddrPortFrom(c.client.Addr(), uint16(40000+a.IntN(20)))
		a.send(name, a.fresh(protoOf(c), from, c.virtual, opens(protoOf(c))))
	}
}

// signs are flags or a chunk of a packet.
func (a *author) signs(proto uint8) string {
	if proto == protoSCTP {
		return a.chunk()
	}
	return a.flags()
}

// of returns a packet of a connection; of an association it has data.
func (a *author) of(c conn, fromClient bool, flags string) *probe {
	if first, _, _ := strings.Cut(flags, "+"); c.proto == "SCTP" && chunks[first] == 0 && first != "none" {
		flags = "DATA"
	}
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

// reuseInTimeWait closes a connection from both sides and calls again.
func (a *author) reuseInTimeWait(name string) {
	if c, ok := a.some("TCP"); ok {
		a.send(name, a.of(c, true, "FA"))
		a.send(name, a.of(c, false, "FA"))
		a.send(name, a.of(c, true, "S"))
	}
}

func (a *author) noService(name string) {
	if v, ok := a.any(0); ok {
		to := netip.AddrPortFrom(v.at.Addr(), 99)
		a.send(name, a.fresh(choose[uint8](a, protoTCP, protoUDP), a.client(v.at.Addr().Is6()), to, a.flags()))
	}
}

func (a *author) noConnection(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		a.send(name, a.fresh(v.proto, a.answers(&v, choose(a, v.servers...)), a.client(v.at.Addr().Is6()), a.signs(v.proto)))
	}
}

func (a *author) direct(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		a.send(name, a.fresh(v.proto, a.client(v.at.Addr().Is6()), a.answers(&v, choose(a, v.servers...)), a.signs(v.proto)))
	}
}

func (a *author) hairpin(name string) {
	if v, ok := a.any(0); ok && len(v.servers) > 0 {
		from := netip.AddrPortFrom(choose(a, v.servers...).Addr(), uint16(50000+a.IntN(3)))
		a.send(name, a.fresh(v.proto, from, a.calls(&v), opens(v.proto)))
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
	c, ok := a.some(choose(a, "UDP", "UDP", "TCP", "SCTP"))
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
		rip := a.answers(&v, choose(a, v.servers...))
		if a.IntN(2) == 0 {
			a.send(name, a.errorOf(rip.Addr(), client.Addr(), a.fresh(v.proto, client, rip, "A")))
		} else {
			a.send(name, a.errorOf(client.Addr(), v.at.Addr(), a.fresh(v.proto, a.calls(&v), client, "A")))
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
		p := a.fresh(choose[uint8](a, 99, 50, 47), a.client(v.at.Addr().Is6()), v.at, "")
		p.data = payload("pattern:40")
		a.send(name, p)
	}
}

// forged packets come from addresses that no other host can have.
func (a *author) forged(name string) {
	if v, ok := a.any(0); ok && !v.at.Addr().Is6() {
		src := choose(a, "203.0.113.100:4000", "203.0.113.2:4000", "10.1.0.1:4000", "127.0.0.1:4000", "224.0.0.5:4000", "255.255.255.255:4000")
		p := a.fresh(v.proto, netip.MustParseAddrPort(src), a.calls(&v), opens(v.proto))
		a.send(name, p)
	}
}
