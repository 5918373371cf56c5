package packet

import (
	"bytes"
	"testing"
)

func addSeeds(f *testing.F) {
	for _, frame := range seeds() {
		f.Add(frame)
	}
}

// mended returns frame with a right IPv4 header checksum, which mutations
// would hardly find.
func mended(frame []byte) []byte {
	if len(frame) >= ethLen+ipv4Len && frame[12] == 8 && frame[13] == 0 && frame[14]>>4 == 4 {
		if n := int(frame[14]&15) * 4; n >= ipv4Len && ethLen+n <= len(frame) {
			frame = bytes.Clone(frame)
			setHeaderChecksum(frame[ethLen : ethLen+n])
		}
	}
	return frame
}

// FuzzParse: whatever arrives, no panic, and what is taken lies inside.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		var any Packet
		Parse(frame, &any)
		frame = mended(frame)
		before := bytes.Clone(frame)
		var p Packet
		fault := Parse(frame, &p)
		if !bytes.Equal(frame, before) {
			t.Fatal("Parse changed the frame")
		}
		if fault != OK {
			return
		}
		if len(p.Data) > len(frame) || int(p.L3) >= int(p.L4) || int(p.L4) > len(p.Data) {
			t.Fatalf("%+v", p)
		}
		if p.HasPorts && len(p.Data)-int(p.L4) < 8 || p.HasPorts && p.Fragment && p.FragOffset != 0 {
			t.Fatalf("ports from nowhere: %+v", p)
		}
		if !p.HasPorts && (p.SrcPort|p.DstPort != 0 || p.TCPFlags|p.Chunk != 0) {
			t.Fatalf("ports without ports: %+v", p)
		}
		if p.Src.Is4() == p.V6 || p.Dst.Is4() == p.V6 {
			t.Fatalf("addresses of the other family: %+v", p)
		}
		if q := &p.Quote; p.IsError && q.OK && (int(q.L4) > len(p.Data) || q.HasPorts && int(q.L4)+4 > len(p.Data)) {
			t.Fatalf("%+v", p.Quote)
		}
		if _, empty := p.Segment(); empty && (p.Proto != TCP || p.Fragment) {
			t.Fatalf("an empty segment in %+v", p)
		}
		var again Packet
		if Parse(p.Data, &again) != OK || !same(p, again) {
			t.Fatalf("the cut frame reads differently: %+v, %+v", p, again)
		}
	})
}

// FuzzTranslate: valid checksums stay valid, the way back restores all but the
// TTL, and the Packet says what its bytes say.
func FuzzTranslate(f *testing.F) {
	for i, frame := range seeds() {
		f.Add(frame, uint64(i)<<60|7, uint64(i), uint16(80+i), i%2 == 0, i%3 == 0)
	}
	f.Fuzz(func(t *testing.T, frame []byte, hi, lo uint64, port uint16, destination, partial bool) {
		frame = mended(frame)
		var p, again Packet
		if Parse(frame, &p) != OK || p.TTL < 3 {
			return
		}
		to := Endpoint{Addr{hi | 1<<60, lo}, port}
		if !p.V6 {
			to.Addr = AddrFrom4(uint32(lo)%(100<<24) + 1<<24)
		}
		side, old := Source, Endpoint{p.Src, p.SrcPort}
		if destination {
			side, old = Destination, Endpoint{p.Dst, p.DstPort}
		}
		if to.Addr.multicast() {
			return
		}
		before, valid := bytes.Clone(p.Data), VerifyChecksums(p.Data) == nil
		there, back := NewRewrite(old, to), NewRewrite(to, old)
		p.Translate(&there, side, partial)
		if Parse(p.Data, &again) != OK || !same(p, again) {
			t.Fatalf("the Packet says %+v, its bytes say %+v", p, again)
		}
		// Checksums of ICMPv6 are for TranslateQuote, other protocols have none.
		if valid && (p.HasPorts || !p.V6) {
			if err := VerifyChecksums(p.Data); err != nil {
				t.Fatal(err)
			}
		}
		p.Translate(&back, side, false)
		if !partial && !equalButTTL(&p, before) {
			t.Fatalf("there and back\n got % x\nwant % x", p.Data, before)
		}
	})
}

// equalButTTL compares p with what it was, apart from the TTL and from
// checksums that say the same in two ways (0 and 0xffff).
func equalButTTL(p *Packet, before []byte) bool {
	var q Packet
	Parse(before, &q)
	for _, x := range []*Packet{p, &q} {
		h := x.Data[x.L3:]
		if x.V6 {
			h[7] = 0
		} else {
			h[8] = 0
			setHeaderChecksum(x.Data[x.L3:x.L4])
		}
		if x.HasPorts {
			c := x.Data[x.checksumAt():]
			if c[0] == 0xff && c[1] == 0xff {
				c[0], c[1] = 0, 0
			}
		}
	}
	return bytes.Equal(p.Data, q.Data)
}

// FuzzTranslateQuote: valid checksums stay valid and the quote changes as said.
func FuzzTranslateQuote(f *testing.F) {
	for i, frame := range seeds() {
		f.Add(frame, uint64(i)<<60|7, uint64(i), uint16(80+i), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, frame []byte, hi, lo uint64, port uint16, destination bool) {
		frame = mended(frame)
		var p, again Packet
		if Parse(frame, &p) != OK || !p.IsError || !p.Quote.OK || p.TTL < 2 {
			return
		}
		to, side := Endpoint{Addr{hi | 1<<60, lo}, port}, Source
		if !p.V6 {
			to.Addr = AddrFrom4(uint32(lo)%(100<<24) + 1<<24)
		}
		if to.Addr.multicast() {
			return
		}
		if destination {
			side = Destination
		}
		valid := VerifyChecksums(p.Data) == nil
		p.TranslateQuote(to, side)
		if valid {
			if err := VerifyChecksums(p.Data); err != nil {
				t.Fatal(err)
			}
		}
		if Parse(p.Data, &again) != OK || !same(p, again) || again.Quote != p.Quote {
			t.Fatalf("the Packet says %+v, its bytes say %+v", p, again)
		}
		outer, inner, innerPort := p.Src, p.Quote.Dst, p.Quote.DstPort
		if destination {
			outer, inner, innerPort = p.Dst, p.Quote.Src, p.Quote.SrcPort
		}
		if outer != to.Addr || inner != to.Addr || p.Quote.HasPorts && innerPort != port {
			t.Fatalf("%+v, want %v", p, to.Netip())
		}
	})
}

// FuzzFragmenter: every packet that is cut joins again to what it was.
func FuzzFragmenter(f *testing.F) {
	for i, frame := range seeds() {
		f.Add(frame, uint16(68+40*i))
	}
	f.Fuzz(func(t *testing.T, frame []byte, mtu uint16) {
		frame = mended(frame)
		var p Packet
		if Parse(frame, &p) != OK || p.Fragment && (p.FragOffset != 0 || p.Proto == TCP || p.Proto == SCTP) ||
			(p.Proto == TCP || p.Proto == SCTP) && mtu < 128 {
			return // a header cut in two is a fault
		}
		all := pieces(t, NewFragmenter(&p, nil, int(mtu), p.FragID))
		if len(all) == 0 {
			return
		}
		body := int(p.L4)
		if p.FragHeader != 0 {
			body = int(p.FragHeader) + fragmentLen
		} else if p.V6 {
			var c chain
			c.walk(p.Data, int(p.L3))
			body = c.part
		}
		var got []byte
		for i, piece := range all {
			var q Packet
			fault := Parse(piece, &q)
			if fault == BadFragment && i == 0 {
				return // extension headers or a transport header longer than the piece
			}
			if fault == Truncated && p.V6 {
				return
			}
			if fault != OK || q.IPLen() > int(mtu) {
				t.Fatalf("piece %d of %d: %v, %d bytes, mtu %d", i, len(all), fault, q.IPLen(), mtu)
			}
			at := int(q.L4)
			if q.FragHeader != 0 {
				at = int(q.FragHeader) + fragmentLen
			} else if p.V6 {
				at = len(piece) - (len(p.Data) - body)
			}
			got = append(got, piece[at:]...)
		}
		if !bytes.Equal(got, p.Data[body:]) {
			t.Fatalf("\n got % x\nwant % x", got, p.Data[body:])
		}
	})
}

// FuzzAnswers: what the builders write is a valid packet to the sender.
func FuzzAnswers(f *testing.F) {
	for i, frame := range seeds() {
		f.Add(frame, uint8(i), uint8(i), uint32(i), uint16(1600))
	}
	f.Fuzz(func(t *testing.T, frame []byte, typ, code uint8, mtu uint32, room uint16) {
		frame = mended(frame)
		var p Packet
		if Parse(frame, &p) != OK || martian(p.Dst) {
			return
		}
		dst := make([]byte, room)
		for _, build := range []func() int{
			func() int { return BuildReset(dst, &p) },
			func() int { return BuildError(dst, &p, p.Dst, typ, code, mtu) },
		} {
			n := build()
			if n == 0 {
				continue
			}
			var q Packet
			answer := dst[:n]
			if fault := Parse(answer, &q); fault != OK || q.Dst != p.Src || q.Src != p.Dst || q.V6 != p.V6 {
				t.Fatalf("%v: % x", fault, answer)
			}
			if err := VerifyChecksums(answer); err != nil {
				t.Fatal(err)
			}
		}
		FillRecordRoute(&p, AddrFrom4(0x0a000001))
		if !p.V6 && slowSum(p.Data[p.L3:p.L4]) != 0xffff {
			t.Fatal("header checksum after record route")
		}
	})
}

func martian(a Addr) bool {
	if a.Is4() {
		return martian4(a.V4())
	}
	return martian6(a)
}
