package oracle

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/lvx-lb/lvx/internal/oracle/record"
)

// probe describes a packet. Its bytes are made here and not by package packet,
// which is what the bytes are to test.
type probe struct {
	src, dst         netip.AddrPort
	proto            uint8
	flags            string // of TCP: FSRPAUEC; of SCTP: chunks
	seq, ack         uint32
	ttl, tos         uint8
	id               uint32
	df               bool
	options, ipOpts  []byte
	first            uint8  // IPv6: the type of the first extension header
	extensions       []byte // all of them
	data             []byte
	patch            []byte // of the transport header, before its checksum is computed
	patchAt          int
	checksum         int // of the transport; -1 = right
	typ, code        uint8
	mtu              int
	inner            *probe // quoted by an ICMP error
	cut              int    // length that the quoted packet is cut to
	fragment         int    // payload bytes of each fragment, 0 = whole
	part             [2]int // payload bytes of the one fragment that is sent: offset and number, 0 = all
	backward, spoilt bool   // fragments from the last to the first; IPv4 header checksum wrong
}

const (
	protoICMP  = 1
	protoTCP   = 6
	protoUDP   = 17
	protoICMP6 = 58
)

func newProbe(proto uint8, src, dst netip.AddrPort) probe {
	return probe{src: src, dst: dst, proto: proto, ttl: 64, checksum: -1}
}

func (p *probe) v6() bool { return p.src.Addr().Is6() }

func sum(b []byte, s uint32) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func folded(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func (p *probe) pseudo(n int) uint32 {
	return sum(p.src.Addr().AsSlice(), sum(p.dst.Addr().AsSlice(), uint32(p.proto)+uint32(n)))
}

// seal puts the checksum of b at byte at.
func (p *probe) seal(b []byte, at int, pseudo uint32) []byte {
	copy(b[p.patchAt:], p.patch)
	c := folded(sum(b, pseudo))
	if p.proto == protoUDP && c == 0 {
		c = 0xffff
	}
	if p.checksum >= 0 {
		c = uint16(p.checksum)
	}
	binary.BigEndian.PutUint16(b[at:], c)
	return b
}

func (p *probe) segment() []byte {
	switch p.proto {
	case protoTCP:
		b := make([]byte, 20, 64)
		binary.BigEndian.PutUint32(b[4:], p.seq)
		binary.BigEndian.PutUint32(b[8:], p.ack)
		b[12] = byte((20 + len(p.options)) / 4 << 4)
		for _, f := range p.flags {
			b[13] |= 1 << strings.IndexRune("FSRPAUEC", f)
		}
		binary.BigEndian.PutUint16(b[14:], 64240)
		p.ports(b)
		b = append(append(b, p.options...), p.data...)
		return p.seal(b, 16, p.pseudo(len(b)))
	case protoUDP:
		b := append(make([]byte, 8), p.data...)
		p.ports(b)
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
		return p.seal(b, 6, p.pseudo(len(b)))
	case protoSCTP:
		return p.association()
	case protoICMP, protoICMP6:
		return p.message()
	}
	return p.data
}

func (p *probe) ports(b []byte) {
	binary.BigEndian.PutUint16(b, p.src.Port())
	binary.BigEndian.PutUint16(b[2:], p.dst.Port())
}

func (p *probe) message() []byte {
	b := make([]byte, 8)
	b[0], b[1] = p.typ, p.code
	binary.BigEndian.PutUint32(b[4:], uint32(p.mtu))
	if p.inner != nil {
		quoted := p.inner.packet()
		if p.cut > 0 {
			quoted = quoted[:min(p.cut, len(quoted))]
		}
		b = append(b, quoted...)
	}
	b = append(b, p.data...)
	if p.v6() {
		return p.seal(b, 2, p.pseudo(len(b)))
	}
	return p.seal(b, 2, 0)
}

// packet returns the whole IP packet.
func (p *probe) packet() []byte {
	segment := p.segment()
	if p.v6() {
		h := make([]byte, 40)
		next := p.proto
		if len(p.extensions) > 0 {
			next, segment = p.first, slices.Concat(p.extensions, segment)
		}
		h[0], h[1] = 0x60|p.tos>>4, p.tos<<4
		binary.BigEndian.PutUint16(h[4:], uint16(len(segment)))
		h[6], h[7] = next, p.ttl
		copy(h[8:], p.src.Addr().AsSlice())
		copy(h[24:], p.dst.Addr().AsSlice())
		return append(h, segment...)
	}
	h := make([]byte, 20, 60)
	h[1], h[8], h[9] = p.tos, p.ttl, p.proto
	binary.BigEndian.PutUint16(h[4:], uint16(p.id))
	if p.df {
		h[6] = 0x40
	}
	copy(h[12:], p.src.Addr().AsSlice())
	copy(h[16:], p.dst.Addr().AsSlice())
	h = append(h, p.ipOpts...)
	h[0] = 0x40 | byte(len(h)/4)
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(segment)))
	binary.BigEndian.PutUint16(h[10:], folded(sum(h, 0)))
	if p.spoilt {
		h[11]++
	}
	return append(h, segment...)
}

// pieces returns the packets of p: one, or its fragments.
func (p *probe) pieces() [][]byte {
	whole := p.packet()
	if p.fragment == 0 && p.part[1] == 0 {
		return [][]byte{whole}
	}
	head := 40
	if !p.v6() {
		head = int(whole[0]&15) * 4
	}
	load, size := whole[head:], p.fragment/8*8
	if from, n := p.part[0], p.part[1]; n > 0 {
		return [][]byte{p.piece(whole[:head], load[from:from+n], from, from+n < len(load))}
	}
	var all [][]byte
	for at := 0; at < len(load); at += size {
		end := min(at+size, len(load))
		all = append(all, p.piece(whole[:head], load[at:end], at, end < len(load)))
	}
	if p.backward {
		slices.Reverse(all)
	}
	return all
}

func (p *probe) piece(head, load []byte, at int, more bool) []byte {
	h := slices.Clone(head)
	if p.v6() {
		f := []byte{h[6], 0, byte(at >> 8), byte(at), 0, 0, 0, 0}
		h[6] = 44
		binary.BigEndian.PutUint16(h[4:], uint16(8+len(load)))
		if more {
			f[3] |= 1
		}
		binary.BigEndian.PutUint32(f[4:], p.id)
		return slices.Concat(h, f, load)
	}
	where := uint16(at / 8)
	if p.df {
		where |= 0x4000
	}
	if more {
		where |= 0x2000
	}
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(load)))
	binary.BigEndian.PutUint16(h[6:], where)
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], folded(sum(h, 0)))
	return append(h, load...)
}

// frames returns the Ethernet frames in which p reaches a NIC of the director.
func (p *probe) frames(at record.NIC) []record.Frame {
	var all []record.Frame
	for _, b := range p.pieces() {
		all = append(all, ethernet(links[at].MAC, macOf(neighbourOf(p.src.Addr())), b))
	}
	return all
}

func ethernet(dst, src [6]byte, b []byte) record.Frame {
	kind := []byte{0x08, 0x00}
	if b[0]>>4 == 6 {
		kind = []byte{0x86, 0xdd}
	}
	return slices.Concat(dst[:], src[:], kind, b)
}

// parseProbe reads words like src=ADDRESS:PORT dst=ADDRESS:PORT proto=tcp
// flags=SA ttl=2 data=hex:0011 fragment=1480; about=( ... ) holds the packet
// that an ICMP error quotes.
func parseProbe(words []string) (p probe, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("read packet %q: %v", words, r)
		}
	}()
	p = probe{ttl: 64, checksum: -1}
	for len(words) > 0 {
		name, value, _ := strings.Cut(words[0], "=")
		if name == "about" {
			end := slices.Index(words, ")")
			inner, err := parseProbe(words[1:end])
			if err != nil {
				return p, err
			}
			p.inner, words = &inner, words[end+1:]
			continue
		}
		p.set(name, value)
		words = words[1:]
	}
	return p, nil
}

func (p *probe) set(name, value string) {
	number := func() int {
		n, err := strconv.ParseInt(value, 0, 64)
		if err != nil {
			panic(err)
		}
		return int(n)
	}
	switch name {
	case "src":
		p.src = endpoint(value)
	case "dst":
		p.dst = endpoint(value)
	case "proto":
		p.proto = map[string]uint8{"tcp": protoTCP, "udp": protoUDP, "sctp": protoSCTP, "icmp": protoICMP, "icmp6": protoICMP6}[value]
		if p.proto == 0 {
			p.proto = uint8(number())
		}
	case "flags":
		p.flags = value
	case "seq":
		p.seq = uint32(number())
	case "ack":
		p.ack = uint32(number())
	case "ttl":
		p.ttl = uint8(number())
	case "tos":
		p.tos = uint8(number())
	case "id":
		p.id = uint32(number())
	case "df":
		p.df = number() != 0
	case "opts":
		p.options = payload("hex:" + value)
	case "ipopts":
		p.ipOpts = payload("hex:" + value)
	case "ext":
		kind, text, _ := strings.Cut(value, ":")
		n, _ := strconv.Atoi(kind)
		p.first, p.extensions = uint8(n), payload("hex:"+text)
	case "patch":
		at, text, _ := strings.Cut(value, ":")
		p.patchAt, _ = strconv.Atoi(at)
		p.patch = payload("hex:" + text)
	case "data":
		p.data = payload(value)
	case "ck":
		p.checksum = number()
	case "type":
		p.typ = uint8(number())
	case "code":
		p.code = uint8(number())
	case "mtu":
		p.mtu = number()
	case "cut":
		p.cut = number()
	case "fragment":
		p.fragment = number()
	case "part":
		from, n, _ := strings.Cut(value, ":")
		p.part[0], _ = strconv.Atoi(from)
		p.part[1], _ = strconv.Atoi(n)
	case "backward":
		p.backward = number() != 0
	case "spoilt":
		p.spoilt = number() != 0
	default:
		panic("no such field: " + name)
	}
}

// endpoint reads ADDRESS or ADDRESS:PORT.
func endpoint(text string) netip.AddrPort {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a, 0)
	}
	return netip.MustParseAddrPort(text)
}

func payload(text string) []byte {
	kind, value, found := strings.Cut(text, ":")
	switch {
	case found && kind == "hex":
		b, err := hex.DecodeString(value)
		if err != nil {
			panic(err)
		}
		return b
	case found && kind == "pattern":
		n, _ := strconv.Atoi(value)
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i)
		}
		return b
	}
	return []byte(text)
}
