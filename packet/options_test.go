package packet

import (
	"testing"

	"github.com/google/gopacket/layers"
)

func optioned(options ...layers.IPv4Option) []byte {
	return build(64, withOptions(udp4("198.51.100.7:1", "192.0.2.1:53", []byte("x")), options...)...)
}

func option(kind uint8, data ...byte) layers.IPv4Option {
	return layers.IPv4Option{OptionType: kind, OptionLength: uint8(len(data) + 2), OptionData: data}
}

func TestOptionsAreReadAndSourceRoutesRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		want  Fault
	}{
		{"router alert", optioned(option(148, 0, 0)), OK},
		{"no operation", optioned(layers.IPv4Option{OptionType: 1}, layers.IPv4Option{OptionType: 1}), OK},
		{"record route", optioned(recordRoute), OK},
		{"loose source route", optioned(option(131, 4, 10, 0, 0, 1)), SourceRoute},
		{"strict source route behind others", optioned(option(148, 0, 0), option(137, 4, 10, 0, 0, 1)), SourceRoute},
		{"length behind the header", edit(optioned(option(148, 0, 0)), 21, 5), BadOption},
		{"length 1", edit(optioned(option(148, 0, 0)), 21, 1), BadOption},
		{"length missing", edit(optioned(option(148, 0, 0)), 20, 1, 1, 1, 148), BadOption},
		{"source route behind the end", edit(optioned(option(148, 0, 0)), 20, 0, 131, 2, 0), OK},
	} {
		var p Packet
		if f := Parse(c.frame, &p); f != c.want || !p.Options {
			t.Errorf("%s: %v, want %v", c.name, f, c.want)
		}
	}
}

func TestRecordRouteIsFilledUntilItIsFull(t *testing.T) {
	var p Packet
	frame := optioned(option(148, 0, 0), recordRoute)
	Parse(frame, &p)
	for i, own := range []string{"203.0.113.100", "203.0.113.101"} {
		if !FillRecordRoute(&p, addr(own)) {
			t.Fatalf("no room for %s", own)
		}
		if err := VerifyChecksums(frame); err != nil {
			t.Error(err)
		}
		got := frame[ethLen+ipv4Len+4+3+4*i:][:4]
		if want := addr(own).Netip().As4(); [4]byte(got) != want {
			t.Errorf("recorded %v", got)
		}
	}
	if FillRecordRoute(&p, addr("203.0.113.102")) {
		t.Error("a full route took one more")
	}
	Parse(optioned(option(148, 0, 0)), &p)
	if FillRecordRoute(&p, addr("203.0.113.102")) {
		t.Error("there is no route to record")
	}
}
