package packet

import (
	"encoding/binary"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// edit returns a copy of frame with bytes replaced at an offset behind the
// Ethernet header, and the IPv4 header checksum right.
func edit(frame []byte, at int, with ...byte) []byte {
	f := append([]byte{}, frame...)
	copy(f[ethLen+at:], with)
	if f[12] == 8 && int(f[ethLen]&15) >= 5 && ethLen+int(f[ethLen]&15)*4 <= len(f) {
		setHeaderChecksum(f[ethLen : ethLen+int(f[ethLen]&15)*4])
	}
	return f
}

// extended is an IPv6 UDP packet with raw extension headers in front.
func extended(next uint8, headers, payload []byte) []byte {
	s := udp6("[2001:db8::7]:40000", "[2001:db8::1]:53", nil)
	ip := s[1].(*layers.IPv6)
	ip.NextHeader = layers.IPProtocol(next)
	return build(64, s[0], ip, gopacket.Payload(append(append([]byte{}, headers...), payload...)))
}

func TestEveryFaultIsFound(t *testing.T) {
	u4 := build(64, udp4("198.51.100.7:40000", "192.0.2.1:53", make([]byte, 8))...)
	t4 := build(64, tcp4("198.51.100.7:40000", "192.0.2.1:80", SYN, make([]byte, 8))...)
	u6 := build(64, udp6("[2001:db8::7]:40000", "[2001:db8::1]:53", make([]byte, 8))...)
	arp := append([]byte{}, u4...)
	arp[13] = 6
	udpHeader := u6[ethLen+ipv6Len:]
	for _, c := range []struct {
		name  string
		frame []byte
		want  Fault
	}{
		{"nothing", nil, Truncated},
		{"half an Ethernet header", u4[:13], Truncated},
		{"ARP", arp, NotIP},
		{"IPv4 header cut", u4[:ethLen+19], Truncated},
		{"IPv4 shorter than its total length", u4[:len(u4)-1], Truncated},
		{"IPv4 padded", append(append([]byte{}, u4...), 1, 2, 3), OK},
		{"version 6 under the IPv4 type", edit(u4, 0, 0x65), BadVersion},
		{"version 4 under the IPv6 type", edit(u6, 0, 0x45), BadVersion},
		{"header length 16", edit(u4, 0, 0x44), BadLength},
		{"total length below the header", edit(u4, 2, 0, 19), BadLength},
		{"header longer than the packet", edit(u4, 0, 0x4f), BadLength},
		{"header checksum", append(append([]byte{}, u4[:24]...), append([]byte{^u4[24]}, u4[25:]...)...), BadChecksum},
		{"source 0.0.0.0", edit(u4, 12, 0, 0, 0, 0), Martian},
		{"source 127.0.0.1", edit(u4, 12, 127, 0, 0, 1), Martian},
		{"source 224.0.0.1", edit(u4, 12, 224, 0, 0, 1), Martian},
		{"source 239.255.255.255", edit(u4, 12, 239, 255, 255, 255), Martian},
		{"source 240.0.0.1 is taken as Linux takes it", edit(u4, 12, 240, 0, 0, 1), OK},
		{"source 255.255.255.255", edit(u4, 12, 255, 255, 255, 255), Martian},
		{"UDP header cut", edit(edit(u4, 2, 0, 27), 0, 0x45), Truncated},
		{"UDP length below 8", edit(u4, 24, 0, 7), BadLength},
		{"UDP length behind the packet", edit(u4, 24, 0, 17), BadLength},
		{"UDP length short of the packet", edit(u4, 24, 0, 12), OK},
		{"TCP header cut", edit(t4, 2, 0, 39), Truncated},
		{"TCP data offset below 5", edit(t4, 32, 0x40), BadLength},
		{"TCP data offset behind the packet", edit(t4, 32, 0x80), Truncated},
		{"first fragment of an odd length", edit(edit(u4, 2, 0, 35), 6, 0x20, 0), OK},
		{"first fragment", edit(u4, 6, 0x20, 0), OK},
		{"first fragment with half a TCP header", edit(edit(t4, 2, 0, 36), 6, 0x20, 0), OK},
		{"later fragment inside the TCP header", edit(t4, 6, 0, 2), OK},
		{"later fragment behind the TCP header", edit(t4, 6, 0, 3), OK},
		{"fragment that ends behind 65535", edit(u4, 6, 0x1f, 0xfe), BadFragment},
		{"IPv6 header cut", u6[:ethLen+39], Truncated},
		{"IPv6 shorter than its length", u6[:len(u6)-1], Truncated},
		{"source ::", edit(u6, 8, make([]byte, 16)...), Martian},
		{"source ::1", edit(u6, 8, append(make([]byte, 15), 1)...), Martian},
		{"source ff02::1", edit(u6, 8, 0xff, 2), Martian},
		{"source ::ffff:1.2.3.4", edit(u6, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4), Martian},
		{"destination ::ffff:1.2.3.4", edit(u6, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4), Martian},
		{"hop-by-hop options", extended(0, []byte{17, 0, 1, 4, 0, 0, 0, 0}, udpHeader), OK},
		{"hop-by-hop not first", extended(60, []byte{0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0}, udpHeader), BadExtension},
		{"extension header cut", extended(60, []byte{17, 9, 0, 0, 0, 0, 0, 0}, udpHeader), Truncated},
		{"routing header without segments left", extended(43, []byte{17, 0, 4, 0, 0, 0, 0, 0}, udpHeader), OK},
		{"routing header with segments left", extended(43, []byte{17, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, udpHeader), SourceRoute},
		{"two fragment headers", extended(44, []byte{44, 0, 0, 1, 0, 0, 0, 1, 17, 0, 0, 1, 0, 0, 0, 1}, udpHeader), BadExtension},
		{"atomic fragment", extended(44, []byte{17, 0, 0, 0, 0, 0, 0, 1}, udpHeader), OK},
		{"more extension headers than anybody sends", extended(60, many(9, []byte{60, 0, 1, 4, 0, 0, 0, 0}), udpHeader), BadExtension},
		{"no next header", extended(59, nil, nil), OK},
	} {
		var p Packet
		if got := Parse(c.frame, &p); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func many(n int, b []byte) (out []byte) {
	for range n {
		out = append(out, b...)
	}
	return out
}

func TestParseReadsWhatGopacketWrote(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		want  Packet
	}{
		{"IPv4 UDP", build(9, udp4("198.51.100.7:40000", "192.0.2.1:53", []byte("x"))...), Packet{
			Proto: UDP, HasPorts: true, SrcPort: 40000, DstPort: 53, TTL: 9, L3: 14, L4: 34, FragID: 0x1234,
			Src: addr("198.51.100.7"), Dst: addr("192.0.2.1"),
		}},
		{"IPv4 TCP", build(9, tcp4("198.51.100.7:40000", "192.0.2.1:80", SYN|ACK, nil)...), Packet{
			Proto: TCP, HasPorts: true, SrcPort: 40000, DstPort: 80, TTL: 9, L3: 14, L4: 34, FragID: 0x1234,
			Src: addr("198.51.100.7"), Dst: addr("192.0.2.1"), TCPFlags: SYN | ACK,
		}},
		{"IPv6 TCP", build(9, tcp6("[2001:db8::7]:40000", "[2001:db8::1]:80", FIN, nil)...), Packet{
			Proto: TCP, HasPorts: true, SrcPort: 40000, DstPort: 80, TTL: 9, L3: 14, L4: 54, V6: true,
			Src: addr("2001:db8::7"), Dst: addr("2001:db8::1"), TCPFlags: FIN,
		}},
		{"later IPv4 fragment", edit(build(9, udp4("198.51.100.7:40000", "192.0.2.1:53", nil)...), 6, 0x20, 2), Packet{
			Proto: UDP, TTL: 9, L3: 14, L4: 34, FragID: 0x1234, Fragment: true, FragOffset: 16, MoreFragments: true,
			Src: addr("198.51.100.7"), Dst: addr("192.0.2.1"),
		}},
		{"later IPv6 fragment", build(64, ipv6Fragment(17, 0x10, 0x01020304, make([]byte, 10))...), Packet{
			Proto: UDP, TTL: 64, L3: 14, L4: 62, FragID: 0x01020304, Fragment: true, FragOffset: 16, FragHeader: 54, V6: true,
			Src: addr("2001:db8::7"), Dst: addr("2001:db8::1"),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := Packet{Fragment: true, SrcPort: 7, FragOffset: 7, Tags: 2, IsError: true, Options: true} // of the frame before
			if f := Parse(c.frame, &p); f != OK {
				t.Fatal(f)
			}
			got := p
			got.Data, c.want.Data = nil, nil
			if !same(got, c.want) {
				t.Errorf("\n got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func same(a, b Packet) bool {
	return a.Flow() == b.Flow() && a.L3 == b.L3 && a.L4 == b.L4 && a.TTL == b.TTL && a.TOS == b.TOS &&
		a.TCPFlags == b.TCPFlags && a.Chunk == b.Chunk && a.HasPorts == b.HasPorts && a.V6 == b.V6 && a.DF == b.DF &&
		a.Options == b.Options && a.IsError == b.IsError && a.Fragment == b.Fragment &&
		a.MoreFragments == b.MoreFragments && a.Tags == b.Tags && a.Tag == b.Tag &&
		a.FragOffset == b.FragOffset && a.FragHeader == b.FragHeader && a.FragID == b.FragID
}

func ipv6Fragment(next uint8, field uint16, id uint32, payload []byte) stack {
	s := udp6("[2001:db8::7]:40000", "[2001:db8::1]:53", nil)
	ip := s[1].(*layers.IPv6)
	ip.NextHeader = layers.IPProtocolIPv6Fragment
	h := make([]byte, 8)
	h[0] = next
	binary.BigEndian.PutUint16(h[2:], field)
	binary.BigEndian.PutUint32(h[4:], id)
	return stack{s[0], ip, gopacket.Payload(append(h, payload...))}
}

func TestPaddingAndTrailersAreCutOff(t *testing.T) {
	frame := build(64, udp4("198.51.100.7:40000", "192.0.2.1:53", []byte("x"))...)
	var p Packet
	if f := Parse(append(append([]byte{}, frame...), "trailer"...), &p); f != OK || len(p.Data) != len(frame) || p.IPLen() != 29 {
		t.Errorf("%v, %d bytes, want %d", f, len(p.Data), len(frame))
	}
	if cap(p.Data) != len(frame) {
		t.Error("an append to Data would overwrite what follows")
	}
}

func TestEveryTruncationOfAValidFrameIsAFault(t *testing.T) {
	for _, frame := range seeds() {
		for n := range frame {
			var p Packet
			if f := Parse(frame[:n], &p); f == OK {
				t.Fatalf("%d of %d bytes were taken: % x", n, len(frame), frame)
			}
		}
	}
}
