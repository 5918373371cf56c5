package packet

import (
	"bytes"
	"testing"

	"github.com/google/gopacket/layers"
)

var stamps = layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 0, 7, 0, 0, 0, 9}}

func TestSegmentIsReadWithItsTimestamps(t *testing.T) {
	nop := layers.TCPOption{OptionType: layers.TCPOptionKindNop}
	scale := layers.TCPOption{OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{7}}
	cut := layers.TCPOption{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{1, 2}}
	for _, c := range []struct {
		name    string
		options []layers.TCPOption
		stamped bool
	}{
		{"none", nil, false},
		{"as everybody writes it", []layers.TCPOption{nop, nop, stamps}, true},
		{"behind another", []layers.TCPOption{scale, stamps}, true},
		{"behind the end", []layers.TCPOption{{OptionType: layers.TCPOptionKindEndList}, stamps}, false},
		{"cut off", []layers.TCPOption{cut}, false},
	} {
		for _, data := range []string{"", "data"} {
			frame := tcp4("198.51.100.7:40000", "192.0.2.1:80", ACK, []byte(data))
			for _, l := range frame {
				if tcp, ok := l.(*layers.TCP); ok {
					tcp.Options = c.options
				}
			}
			var p Packet
			if f := Parse(build(7, frame...), &p); f != OK {
				t.Fatal(f)
			}
			want := Segment{Seq: 1000, Ack: 2000, Flags: ACK, Window: p.window()}
			if c.stamped {
				want.Stamped, want.Stamp, want.Echo = true, 7, 9
			}
			if got, empty := p.Segment(); got != want || empty != (data == "") {
				t.Errorf("%s: %+v, empty %v, want %+v", c.name, got, empty, want)
			}
		}
	}
}

func (p *Packet) window() uint16 { return uint16(p.Data[p.L4+14])<<8 | uint16(p.Data[p.L4+15]) }

func TestSegmentIsReadAsItWasBuilt(t *testing.T) {
	for _, ends := range [][2]string{{"198.51.100.7:40000", "192.0.2.1:80"}, {"[2001:db8::7]:40000", "[2001:db8::1]:80"}} {
		for _, want := range []Segment{
			{Seq: 1 << 31, Ack: 7, Flags: ACK, Window: 0xffff},
			{Seq: 0xffffffff, Ack: 0x80000000, Flags: RST | ACK},
			{Seq: 3, Ack: 4, Flags: ACK, Window: 501, Stamped: true, Stamp: 0x80000001, Echo: 5},
		} {
			room := bytes.Repeat([]byte{0xee}, 100)
			n := BuildSegment(room, end(ends[0]), end(ends[1]), &want)
			p := answered(t, room, n)
			if got, empty := p.Segment(); got != want || !empty || p.Flow() != (Flow{TCP, end(ends[0]), end(ends[1])}) {
				t.Errorf("%+v, want %+v", got, want)
			}
			if BuildSegment(room[:n-1], end(ends[0]), end(ends[1]), &want) != 0 {
				t.Error("fits where it does not")
			}
		}
	}
}

func TestNoSegmentIsReadFromOtherPackets(t *testing.T) {
	var p Packet
	Parse(build(7, udp4("198.51.100.7:40000", "192.0.2.1:80", nil)...), &p)
	if _, empty := p.Segment(); empty {
		t.Error("of a datagram")
	}
}
