package packet

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

func plainUDP() []byte {
	f := make([]byte, 60)
	binary.BigEndian.PutUint16(f[12:], typeIPv4)
	b := f[14:]
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], 46)
	copy(b[12:], []byte{198, 51, 100, 7})
	copy(b[16:], []byte{192, 0, 2, 1})
	setHeaderChecksum(b[:20])
	binary.BigEndian.PutUint16(b[20:], 40000)
	binary.BigEndian.PutUint16(b[22:], 53)
	binary.BigEndian.PutUint16(b[24:], 26)
	var p Packet
	Parse(f, &p)
	p.FillChecksum()
	return f
}

func end(s string) Endpoint { return EndpointFrom(netip.MustParseAddrPort(s)) }

func BenchmarkParseAndTranslate(b *testing.B) {
	f := plainUDP()
	fresh := [28]byte(f[14:])
	there := NewRewrite(end("192.0.2.1:53"), end("10.0.0.11:5353"))
	var p Packet
	for b.Loop() {
		*(*[28]byte)(f[14:]) = fresh
		if Parse(f, &p) != OK {
			b.Fatal()
		}
		p.Translate(&there, Destination, true)
	}
	if err := VerifyChecksums(f); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkParse(b *testing.B) {
	f := plainUDP()
	var p Packet
	for b.Loop() {
		if Parse(f, &p) != OK {
			b.Fatal()
		}
	}
}
