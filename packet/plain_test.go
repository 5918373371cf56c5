package packet

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzGlance: what Glance takes, Parse takes, they say the same, and both
// translate to the same bytes.
func FuzzGlance(f *testing.F) {
	for i, frame := range seeds() {
		f.Add(frame, uint32(i)<<24|7, uint16(i), i%2 == 0)
		f.Add(append(frame, 0, 0, 0), uint32(7), uint16(80), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, frame []byte, addr uint32, port uint16, destination bool) {
		frame = mended(frame)
		var g Plain
		if !g.Glance(frame) {
			return
		}
		var p Packet
		if fault := Parse(frame, &p); fault != OK {
			t.Fatalf("Parse says %v of %+v", fault, g)
		}
		if told := (Plain{PlainEndpointFrom(p.Proto, p.SrcPort, p.Src.V4()), PlainEndpointFrom(p.Proto, p.DstPort, p.Dst.V4()), uint16(p.IPLen()), p.TCPFlags, false}); told != g || !p.HasPorts ||
			p.Fragment || p.Options || p.V6 || p.Tags != 0 || p.TTL <= 1 || int(p.L3) != EthernetLen {
			t.Fatalf("Glance says %+v, Parse %+v", g, p)
		}
		var q Packet
		if g.Unfold(frame, &q); !same(p, q) || len(q.Data) != len(p.Data) {
			t.Fatalf("unfolded %+v, Parse says %+v", q, p)
		}
		if unfinished := p.isPartial(binary.BigEndian.Uint16(p.Data[p.checksumAt():]), p.Data[p.L4:]); unfinished != g.Unfinished(frame) {
			t.Fatalf("unfinished %v, Parse says %v", !unfinished, unfinished)
		}
		side, old := Source, Endpoint{p.Src, p.SrcPort}
		if destination {
			side, old = Destination, Endpoint{p.Dst, p.DstPort}
		}
		r := NewRewrite(old, Endpoint{AddrFrom4(addr), port})
		if g.Unfinished(frame) != p.Unfinished() {
			t.Fatalf("unfinished %v, but Parse's is not", !p.Unfinished())
		}
		for _, unfinished := range []bool{p.Unfinished(), false} {
			p, short := p, bytes.Clone(p.Data)
			p.Data = bytes.Clone(p.Data)
			if g.Translate(short, &r, side); unfinished {
				g.Unfinish(short)
				p.TranslateUnfinished(&r, side)
			} else {
				p.Translate(&r, side, false)
			}
			if !bytes.Equal(short, p.Data) || unfinished && !p.Unfinished() {
				t.Fatalf("translated\n%x, by all stages\n%x", short, p.Data)
			}
		}
	})
}

// TestGlanceTakesWhatIsPlain: without this, a Glance that takes nothing would
// do.
func TestGlanceTakesWhatIsPlain(t *testing.T) {
	for name, c := range map[string]struct {
		stack stack
		taken bool
	}{
		"UDP":        {udp4("198.51.100.7:1", "192.0.2.1:53", []byte("x")), true},
		"TCP":        {tcp4("198.51.100.7:1", "192.0.2.1:80", ACK, []byte("x")), true},
		"options":    {withOptions(udp4("198.51.100.7:1", "192.0.2.1:53", []byte("x")), recordRoute), false},
		"tagged":     {tagged(udp4("198.51.100.7:1", "192.0.2.1:53", []byte("x")), 10), false},
		"IPv6":       {tcp6("[2001:db8::7]:1", "[2001:db8::1]:80", ACK, nil), false},
		"from 127/8": {udp4("127.0.0.1:1", "192.0.2.1:53", []byte("x")), false},
		"SCTP":       {sctp4("198.51.100.7:1", "192.0.2.1:80", ChunkInit, nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			var p Plain
			if got := p.Glance(build(64, c.stack...)); got != c.taken {
				t.Errorf("taken: %v", got)
			}
		})
	}
	for length := range plainTCP {
		var p Plain
		if frame := build(64, tcp4("198.51.100.7:1", "192.0.2.1:80", ACK, nil)...); p.Glance(frame[:length]) {
			t.Errorf("%d bytes of it were taken", length)
		}
	}
}
