package packet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"testing"
)

// The recordings in testdata are of Linux IPVS (kernel 6.1) with two NICs:
// NAME.pub0 faces the clients, NAME.prv0 the servers. Every frame that the
// director sent there must be one that this package makes of a frame that the
// director had received before.

var (
	directorPublic  = [6]byte{2, 0, 0, 0, 0, 0xd1}
	directorPrivate = [6]byte{2, 0, 0, 0, 0, 0xd2}
	vip4, dip4      = addr("203.0.113.100"), addr("10.1.0.1")
	vip6, dip6      = addr("2001:db8:1::100"), addr("fd00:1::1")
)

// mapped are the services of the recordings, each with one server.
var mapped = [][2]Endpoint{
	{end("203.0.113.100:80"), end("10.1.0.61:8080")},
	{end("203.0.113.100:53"), end("10.1.0.61:5353")},
	{end("203.0.113.100:80"), end("10.1.0.11:8080")},
	{end("203.0.113.100:81"), end("10.1.0.11:8080")},
	{end("[2001:db8:1::100]:80"), end("[fd00:1::61]:8080")},
	{end("[2001:db8:1::100]:53"), end("[fd00:1::61]:5353")},
}

func TestEveryFrameThatLinuxSentIsOneThatWeMake(t *testing.T) {
	want := map[string]int{ // frames of the director that were compared
		"hdr": 29, "tcp-vectors": 12, "nosvc-tcpflags": 10, "icmp-rs-portunreach": 9,
		"icmp-fragneeded": 14, "icmp-nors": 13, "v6-vectors": 25, "udp-frag": 38, "mtu-live": 74,
	}
	for name := range want {
		t.Run(name, func(t *testing.T) {
			public, private := recording(t, name+".pub0"), recording(t, name+".prv0")
			var made [][]byte
			var parts [][]byte
			for _, frame := range append(append([][]byte{}, public...), private...) {
				if !sentByDirector(frame) {
					made = append(made, answers(frame)...)
					parts = append(parts, frame)
				}
			}
			for _, whole := range reassembled(parts) {
				made = append(made, answers(whole)...)
			}
			compared := 0
			for _, frame := range append(public, private...) {
				if !sentByDirector(frame) || ownBusiness(frame) {
					continue
				}
				compared++
				if !contains(made, frame) {
					t.Errorf("nothing that we make is\n%s", hex.Dump(frame))
				}
			}
			if compared != want[name] {
				t.Errorf("compared %d frames, want %d", compared, want[name])
			}
		})
	}
}

func sentByDirector(frame []byte) bool {
	src := [6]byte(frame[6:12])
	return src == directorPublic || src == directorPrivate
}

// ownBusiness tells frames of the director's own stack: ARP, neighbour
// discovery, echo replies.
func ownBusiness(frame []byte) bool {
	var p Packet
	if Parse(frame, &p) != OK {
		return true
	}
	switch {
	case p.V6 && p.Proto == ICMPv6:
		return p.ICMPType >= 128
	case !p.V6 && p.Proto == ICMP:
		return p.ICMPType == 0
	}
	return false
}

// answers returns all that the director might send because of frame.
func answers(frame []byte) [][]byte {
	var out [][]byte
	var p Packet
	if Parse(bytes.Clone(frame), &p) != OK {
		return nil
	}
	add := func(change func(p *Packet)) {
		var p Packet
		Parse(bytes.Clone(frame), &p)
		change(&p)
		out = append(out, p.Data)
	}
	add((*Packet).Forward)
	for _, m := range mapped {
		if m[0].Addr.Is4() == p.V6 {
			continue
		}
		out = append(out, translations(frame, m[0], m[1], Destination)...)
		out = append(out, translations(frame, m[1], m[0], Source)...)
	}
	return append(out, built(&p)...)
}

func translations(frame []byte, old, new Endpoint, side Side) (out [][]byte) {
	var p Packet
	Parse(bytes.Clone(frame), &p)
	at := Endpoint{p.Src, p.SrcPort}
	if side == Destination {
		at = Endpoint{p.Dst, p.DstPort}
	}
	switch {
	case p.IsError && p.Quote.OK:
		q := Endpoint{p.Quote.Dst, p.Quote.DstPort}
		if side == Destination {
			q = Endpoint{p.Quote.Src, p.Quote.SrcPort}
		}
		if q != old {
			return nil
		}
		p.TranslateQuote(new, side)
	case at == old:
		r := NewRewrite(old, new)
		if p.Proto == UDP && binary.BigEndian.Uint16(p.Data[p.checksumAt():]) == 0 {
			p.FillChecksum() // as Linux does
		}
		p.Translate(&r, side, false)
		FillRecordRoute(&p, vip4)
	default:
		return nil
	}
	out = append(out, p.Data)
	for _, mtu := range []int{540, 1020, 1200, 1496, 1500} {
		f := NewFragmenter(&p, nil, mtu, p.FragID)
		for f.left > 0 {
			b := make([]byte, 2000)
			out = append(out, b[:f.Next(b)])
		}
	}
	return out
}

// built returns the resets and ICMP errors about p.
func built(p *Packet) (out [][]byte) {
	keep := func(b []byte, n int) {
		if n > 0 {
			out = append(out, b[:n])
		}
	}
	b := make([]byte, 2000)
	keep(b, BuildReset(b, p))
	if !MayError(p) {
		return out
	}
	from := []Addr{vip4, dip4}
	types := [][3]int{{3, 3, 0}, {3, 4, 1200}, {11, 0, 0}}
	if p.V6 {
		from, types = []Addr{vip6, dip6}, [][3]int{{1, 4, 0}, {3, 0, 0}}
	}
	for _, src := range from {
		for _, x := range types {
			b := make([]byte, 2000)
			keep(b, BuildError(b, p, src, uint8(x[0]), uint8(x[1]), uint32(x[2])))
			if x[1] == 4 && !p.V6 {
				q := *p
				q.Data = bytes.Clone(p.Data)
				q.Forward() // Linux has done so before it looks at the MTU
				keep(b, BuildError(b, &q, src, uint8(x[0]), uint8(x[1]), uint32(x[2])))
			}
		}
	}
	return out
}

func contains(made [][]byte, frame []byte) bool {
	want := canonical(frame)
	for _, m := range made {
		if bytes.Equal(canonical(m), want) {
			return true
		}
	}
	return false
}

// canonical returns the IP packet of frame without what Linux chooses
// freely: the identification of its own ICMP errors (told by their TTL), IPv6
// flow labels of its own and identifications of IPv6 fragments.
func canonical(frame []byte) []byte {
	var p Packet
	if Parse(bytes.Clone(frame), &p) != OK {
		return nil
	}
	b := p.Data[p.L3:]
	switch {
	case p.V6 && p.FragHeader != 0:
		clear(p.Data[p.FragHeader+4 : p.FragHeader+8])
	case p.V6 && p.TTL == 64:
		b[1] &= 0xf0
		b[2], b[3] = 0, 0
	case p.IsError && p.TTL == 64:
		b[4], b[5] = 0, 0
		setHeaderChecksum(p.Data[p.L3:p.L4])
	}
	return b
}

func recording(t *testing.T, name string) (frames [][]byte) {
	t.Helper()
	file, err := os.Open("testdata/" + name + ".pcap.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	// pcap in little endian: a header of 24 bytes, then frames with 16 each.
	for b = b[24:]; len(b) > 0; {
		n := binary.LittleEndian.Uint32(b[8:])
		frames = append(frames, b[16:16+n])
		b = b[16+n:]
	}
	return frames
}

// reassembled puts the fragments among frames together, as frames without
// fragmentation.
func reassembled(frames [][]byte) (whole [][]byte) {
	type datagram struct {
		src Addr
		id  uint32
	}
	parts := map[datagram][]byte{}
	sizes := map[datagram]int{}
	heads := map[datagram][]byte{}
	for _, frame := range frames {
		var p Packet
		if Parse(bytes.Clone(frame), &p) != OK || !p.Fragment {
			continue
		}
		key := datagram{p.Src, p.FragID}
		body := p.Data[p.L4:]
		if len(parts[key]) < int(p.FragOffset)+len(body) {
			parts[key] = append(parts[key], make([]byte, int(p.FragOffset)+len(body)-len(parts[key]))...)
		}
		copy(parts[key][p.FragOffset:], body)
		if !p.MoreFragments {
			sizes[key] = int(p.FragOffset) + len(body)
		}
		if p.FragOffset == 0 {
			heads[key] = p.Data[:p.L4]
		}
	}
	for key, body := range parts {
		if sizes[key] == 0 || heads[key] == nil {
			continue
		}
		var p Packet
		head := append(bytes.Clone(heads[key]), body...)
		if key.src.Is4() {
			binary.BigEndian.PutUint16(head[ethLen+2:], uint16(len(head)-ethLen))
			head[ethLen+6], head[ethLen+7] = 0, 0
			setHeaderChecksum(head[ethLen : ethLen+ipv4Len])
		} else {
			binary.BigEndian.PutUint16(head[ethLen+4:], uint16(len(head)-ethLen-ipv6Len))
			copy(head[ethLen+ipv6Len+2:], []byte{0, 0}) // an atomic fragment
		}
		if f := Parse(head, &p); f != OK {
			panic(f)
		}
		whole = append(whole, head)
	}
	return whole
}
