package dataplane

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Frames for the tests are built by gopacket, never by package packet, which
// is among what is tested.

const (
	protoICMP, protoTCP, protoUDP, protoICMPv6, protoSCTP = 1, 6, 17, 58, 132
)

// datagram returns the IP packet of s.
func (s *symbol) datagram(ttl int) []byte {
	body := s.transport()
	field := 0
	if text, ok := s.attr["frag"]; ok {
		var offset, n int
		if _, err := fmt.Sscanf(text, "%d:%d", &offset, &n); err != nil {
			panic(fmt.Sprintf("frag=%q is not OFFSET:BYTES", text))
		}
		field = offset
		if n = min(n, len(body)-offset); offset+n < len(body) {
			field |= 1
		}
		body = body[offset : offset+n]
	}
	if s.v6() {
		return s.ipv6(ttl, field, body)
	}
	return s.ipv4(ttl, field, body)
}

func (s *symbol) ipv4(ttl, field int, body []byte) []byte {
	ip := s.header4(ttl)
	ip.FragOffset = uint16(field / 8)
	if field&1 != 0 {
		ip.Flags |= layers.IPv4MoreFragments
	}
	b := serialize(ip, gopacket.Payload(body))
	if s.has("ver") {
		b[0] = byte(s.number("ver", 0))<<4 | b[0]&15
	}
	if s.has("ihl") {
		b[0] = b[0]&0xf0 | byte(s.number("ihl", 0))
	}
	if s.has("len") {
		binary.BigEndian.PutUint16(b[2:], uint16(s.number("len", 0)))
	}
	if n := int(b[0]&15) * 4; n <= len(b) && n >= 20 {
		binary.BigEndian.PutUint16(b[10:], 0)
		binary.BigEndian.PutUint16(b[10:], ^wordSum(b[:n]))
	}
	if s.attr["hsum"] == "bad" {
		b[10] ^= 0x55
	}
	return b
}

func (s *symbol) header4(ttl int) *layers.IPv4 {
	ip := &layers.IPv4{
		Version: 4, TTL: uint8(s.number("ttl", ttl)), TOS: uint8(s.number("tos", 0)), Id: uint16(s.number("id", 0x1234)),
		Protocol: layers.IPProtocol(s.protocol()), SrcIP: s.src.Addr().AsSlice(), DstIP: s.dst.Addr().AsSlice(),
	}
	if s.has("df") {
		ip.Flags = layers.IPv4DontFragment
	}
	if text, ok := s.attr["opts"]; ok {
		ip.Options = options(text)
	}
	return ip
}

// options reads rr:ROOM[:ADDR...], lsrr:ADDR, ra, and nops to fill up.
func options(text string) []layers.IPv4Option {
	words := strings.Split(text, ":")
	addrs := func(words []string) (b []byte) {
		for _, a := range words {
			b = append(b, netip.MustParseAddr(a).AsSlice()...)
		}
		return b
	}
	nop := layers.IPv4Option{OptionType: 1}
	switch words[0] {
	case "rr":
		var room int
		fmt.Sscan(words[1], &room)
		data := make([]byte, 1+4*room)
		data[0] = byte(4 + copy(data[1:], addrs(words[2:])))
		return []layers.IPv4Option{{OptionType: 7, OptionLength: uint8(2 + len(data)), OptionData: data}, nop}
	case "lsrr":
		data := append([]byte{4}, addrs(words[1:])...)
		return []layers.IPv4Option{{OptionType: 131, OptionLength: uint8(2 + len(data)), OptionData: data}, nop}
	case "ra":
		return []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	case "nop":
		return []layers.IPv4Option{nop, nop, nop, nop}
	}
	panic(fmt.Sprintf("no options are called %q", text))
}

func (s *symbol) ipv6(ttl, field int, body []byte) []byte {
	next := uint8(s.protocol())
	var front []byte
	chain := func(kind uint8, header ...byte) {
		header[0], next = next, kind
		front = append(header, front...)
	}
	if s.has("dst") {
		chain(60, 0, 0, 1, 4, 0, 0, 0, 0)
	}
	if s.has("frag") {
		h := make([]byte, 8)
		binary.BigEndian.PutUint16(h[2:], uint16(field))
		binary.BigEndian.PutUint32(h[4:], uint32(s.number("id", 0x1234)))
		chain(44, h...)
	}
	if s.has("route") {
		chain(43, 0, 2, 0, uint8(s.number("route", 0)), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	if s.has("hbh") {
		chain(0, 0, 0, 5, 2, 0, 0, 1, 0)
	}
	ip := &layers.IPv6{
		Version: 6, TrafficClass: uint8(s.number("tos", 0)), NextHeader: layers.IPProtocol(next),
		HopLimit: uint8(s.number("ttl", ttl)), SrcIP: s.src.Addr().AsSlice(), DstIP: s.dst.Addr().AsSlice(),
	}
	ip.Length = uint16(s.number("len", len(front)+len(body)))
	b := serializeAs(ip, gopacket.Payload(append(front, body...)))
	b[0] = byte(s.number("ver", 6))<<4 | b[0]&15
	return b
}

func (s *symbol) protocol() int {
	switch s.proto {
	case "tcp":
		return protoTCP
	case "udp":
		return protoUDP
	case "sctp":
		return protoSCTP
	case "icmp":
		if s.v6() {
			return protoICMPv6
		}
		return protoICMP
	}
	return s.argument()
}

// transport returns what the IP packet carries, with the checksum that sum
// asks for.
func (s *symbol) transport() []byte {
	b := s.segment()
	if s.proto == "sctp" {
		s.spoilCRC(b)
		return b
	}
	at := map[string]int{"tcp": 16, "udp": 6, "icmp": 2}[s.proto]
	if at == 0 {
		return b
	}
	stored := b[at : at+2]
	if text, ok := s.attr["sumas"]; ok {
		src, dst, _ := strings.Cut(text, ">")
		from, err1 := parseEnd(src)
		to, err2 := parseEnd(dst)
		if err1 != nil || err2 != nil {
			panic(fmt.Sprintf("sumas=%q is not SRC>DST", text))
		}
		copy(stored, s.with(from, to).segment()[at:at+2])
	}
	switch text := s.attr["sum"]; text {
	case "":
	case "none":
		clear(stored)
	case "partial":
		binary.BigEndian.PutUint16(stored, wordSum(s.pseudo(len(b))))
	case "off":
		// Off by a constant, and so it stays in one's complement.
		binary.BigEndian.PutUint16(stored, wordSum(stored, []byte{0x12, 0x34}))
	default:
		binary.BigEndian.PutUint16(stored, uint16(s.number("sum", 0)))
	}
	return b
}

// spoilCRC gives an SCTP packet the CRC that sum or sumas asks for.
func (s *symbol) spoilCRC(b []byte) {
	stored := b[8:12]
	if text, ok := s.attr["sumas"]; ok {
		src, dst, _ := strings.Cut(text, ">")
		copy(stored, s.with(netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)).segment()[8:12])
	}
	switch s.attr["sum"] {
	case "partial":
		clear(stored)
	case "off":
		stored[1] ^= 0x55
	}
}

func (s *symbol) pseudo(n int) []byte {
	b := append(s.src.Addr().AsSlice(), s.dst.Addr().AsSlice()...)
	return append(b, 0, byte(s.protocol()), byte(n>>8), byte(n))
}

// wordSum adds up words, slowly.
func wordSum(parts ...[]byte) uint16 {
	sum := uint32(0)
	for _, b := range parts {
		for i := 0; i < len(b); i += 2 {
			sum += uint32(b[i]) << 8
			if i+1 < len(b) {
				sum += uint32(b[i+1])
			}
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func (s *symbol) segment() []byte {
	var network gopacket.NetworkLayer = &layers.IPv4{SrcIP: s.src.Addr().AsSlice(), DstIP: s.dst.Addr().AsSlice(), Protocol: layers.IPProtocol(s.protocol())}
	if s.v6() {
		network = &layers.IPv6{SrcIP: s.src.Addr().AsSlice(), DstIP: s.dst.Addr().AsSlice(), NextHeader: layers.IPProtocol(s.protocol())}
	}
	switch s.proto {
	case "tcp":
		t := s.tcp()
		_ = t.SetNetworkLayerForChecksum(network)
		if s.has("text") {
			return serialize(t, gopacket.Payload(spoken.Replace(s.attr["text"])))
		}
		return serialize(t, payload(s.number("data", 0)))
	case "udp":
		u := &layers.UDP{SrcPort: layers.UDPPort(s.src.Port()), DstPort: layers.UDPPort(s.dst.Port())}
		_ = u.SetNetworkLayerForChecksum(network)
		return serialize(u, payload(s.argument()))
	case "sctp":
		return serialize(s.sctp(), s.chunk())
	case "icmp":
		return s.icmp(network)
	}
	return payload(s.number("data", 8))
}

func (s *symbol) tcp() *layers.TCP {
	t := &layers.TCP{
		SrcPort: layers.TCPPort(s.src.Port()), DstPort: layers.TCPPort(s.dst.Port()),
		Seq: uint32(s.number("seq", 1000)), Window: uint16(s.number("win", 64240)),
	}
	for _, f := range s.arg {
		switch f {
		case 'F':
			t.FIN = true
		case 'S':
			t.SYN = true
		case 'R':
			t.RST = true
		case 'P':
			t.PSH = true
		case 'A':
			t.ACK, t.Ack = true, 2000
		case 'U':
			t.URG = true
		case '0':
		default:
			panic(fmt.Sprintf("no TCP flag is called %c", f))
		}
	}
	t.Ack = uint32(s.number("ack", int(t.Ack)))
	if text, ok := s.attr["stamp"]; ok {
		t.Options = stamps(text)
	}
	if s.has("sack") {
		var left, right uint32
		if _, err := fmt.Sscanf(s.attr["sack"], "%d:%d", &left, &right); err != nil {
			panic(fmt.Sprintf("sack=%q is not LEFT:RIGHT", s.attr["sack"]))
		}
		block := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, left), right)
		nop := layers.TCPOption{OptionType: layers.TCPOptionKindNop}
		t.Options = []layers.TCPOption{nop, nop, {OptionType: layers.TCPOptionKindSACK, OptionLength: 10, OptionData: block}}
	}
	return t
}

// stamps reads VALUE:ECHO.
func stamps(text string) []layers.TCPOption {
	data := make([]byte, 8)
	for i, word := range strings.SplitN(text, ":", 2) {
		n, err := strconv.ParseUint(word, 0, 32)
		if err != nil {
			panic(fmt.Sprintf("stamp=%q is not VALUE:ECHO", text))
		}
		binary.BigEndian.PutUint32(data[4*i:], uint32(n))
	}
	nop := layers.TCPOption{OptionType: layers.TCPOptionKindNop}
	return []layers.TCPOption{nop, nop, {OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: data}}
}

// spoken makes what is said of what a script writes in one word.
var spoken = strings.NewReplacer("_", " ", `\r`, "\r", `\n`, "\n")

// chunks are the names of SCTP's by their numbers.
var chunks = []string{"DATA", "INIT", "INIT-ACK", "SACK", "HEARTBEAT", "HEARTBEAT-ACK", "ABORT", "SHUTDOWN", "SHUTDOWN-ACK",
	"ERROR", "COOKIE-ECHO", "COOKIE-ACK", "ECNE", "CWR", "SHUTDOWN-COMPLETE"}

func (s *symbol) sctp() *layers.SCTP {
	return &layers.SCTP{SrcPort: layers.SCTPPort(s.src.Port()), DstPort: layers.SCTPPort(s.dst.Port()), VerificationTag: 7}
}

// chunk returns the chunk that the symbol names, none for 0.
func (s *symbol) chunk() gopacket.Payload {
	typ := slices.Index(chunks, s.arg)
	if s.arg == "0" {
		return nil
	}
	if typ < 0 {
		panic(fmt.Sprintf("no chunk is called %s", s.arg))
	}
	body, flags := payload(s.number("data", 0)), byte(0)
	if s.has("reflected") {
		flags = 1
	}
	return append(gopacket.Payload{byte(typ), flags, byte((4 + len(body)) >> 8), byte(4 + len(body))}, body...)
}

func (s *symbol) icmp(network gopacket.NetworkLayer) []byte {
	var typ, code uint8
	if _, err := fmt.Sscanf(s.arg, "%d/%d", &typ, &code); err != nil {
		panic(fmt.Sprintf("icmp %q is not TYPE/CODE", s.arg))
	}
	body := []byte(payload(s.number("data", 0)))
	if s.about != nil {
		quoted := s.about.datagram(64)
		body = quoted[:min(len(quoted), s.number("quote", len(quoted)))]
	}
	rest := uint32(s.number("mtu", s.number("rest", 0)))
	if s.v6() {
		m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)}
		_ = m.SetNetworkLayerForChecksum(network)
		return serialize(m, gopacket.Payload(append(binary.BigEndian.AppendUint32(nil, rest), body...)))
	}
	return serialize(&layers.ICMPv4{
		TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: uint16(rest >> 16), Seq: uint16(rest),
	}, gopacket.Payload(body))
}

// payload returns n bytes that differ from their neighbours.
func payload(n int) gopacket.Payload {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func serialize(all ...gopacket.SerializableLayer) []byte {
	return serializeWith(gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all)
}

// serializeAs leaves lengths as they are written.
func serializeAs(all ...gopacket.SerializableLayer) []byte {
	return serializeWith(gopacket.SerializeOptions{}, all)
}

func serializeWith(how gopacket.SerializeOptions, all []gopacket.SerializableLayer) []byte {
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, how, all...); err != nil {
		panic(err)
	}
	return append([]byte{}, buffer.Bytes()...)
}

// ethernet puts IP packet b into a frame with VLAN tags.
func ethernet(dst, src MAC, tags []uint16, v6 bool, b []byte) []byte {
	frame := append(append([]byte{}, dst[:]...), src[:]...)
	for i, tag := range tags {
		tpid := uint16(0x8100)
		if len(tags) == 2 && i == 0 {
			tpid = 0x88a8
		}
		frame = binary.BigEndian.AppendUint16(frame, tpid)
		frame = binary.BigEndian.AppendUint16(frame, tag)
	}
	if v6 {
		frame = append(frame, 0x86, 0xdd)
	} else {
		frame = append(frame, 8, 0)
	}
	return append(frame, b...)
}
