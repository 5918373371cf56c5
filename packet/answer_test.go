package packet

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"
)

func answered(t *testing.T, dst []byte, n int) Packet {
	t.Helper()
	var p Packet
	if f := Parse(dst[:n], &p); f != OK {
		t.Fatal(f)
	}
	if len(p.Data) != n {
		t.Errorf("%d bytes, of which %d are a packet", n, len(p.Data))
	}
	if err := VerifyChecksums(dst[:n]); err != nil {
		t.Error(err)
	}
	return p
}

func TestResetTakesItsSequenceNumbersFromThePacket(t *testing.T) {
	for _, c := range []struct {
		name     string
		flags    uint8
		payload  int
		want     uint8 // 0 = none
		seq, ack uint32
	}{
		{"ACK", ACK, 0, RST, 2000, 0},
		{"data", PSH | ACK, 7, RST, 2000, 0},
		{"SYN", SYN, 0, RST | ACK, 0, 1001},
		{"SYN with data", SYN, 5, RST | ACK, 0, 1006},
		{"FIN", FIN, 5, RST | ACK, 0, 1006},
		{"no flag", 0, 0, RST | ACK, 0, 1000},
		{"SYN FIN", SYN | FIN, 0, RST | ACK, 0, 1002},
		{"RST", RST, 0, 0, 0, 0},
		{"RST ACK", RST | ACK, 0, 0, 0, 0},
	} {
		for _, in := range [][]byte{
			build(7, tcp4("198.51.100.7:40000", "192.0.2.1:80", c.flags, make([]byte, c.payload))...),
			build(7, tcp6("[2001:db8::7]:40000", "[2001:db8::1]:80", c.flags, make([]byte, c.payload))...),
		} {
			var p Packet
			Parse(in, &p)
			dst := bytes.Repeat([]byte{0xee}, 1600)
			n := BuildReset(dst, &p)
			if c.want == 0 {
				if n != 0 {
					t.Errorf("%s: answered", c.name)
				}
				continue
			}
			got := answered(t, dst, n)
			b := got.Data[got.L4:]
			if got.Flow() != p.Flow().Reverse() || got.TCPFlags != c.want || got.TTL != 64 ||
				binary.BigEndian.Uint32(b[4:]) != c.seq || binary.BigEndian.Uint32(b[8:]) != c.ack {
				t.Errorf("%s: %+v % x", c.name, got, b)
			}
			if BuildReset(dst[:n-1], &p) != 0 {
				t.Errorf("%s: fits where it does not", c.name)
			}
		}
	}
}

// The RFC has an ABORT carry the tag of what it answers, and say so by the T bit.
// INIT has the tag in its chunk, where these begin with the payload.
func TestAbortTakesItsTagFromThePacket(t *testing.T) {
	for _, c := range []struct {
		name    string
		chunk   uint8
		payload string
		want    []byte // tag, chunk and flags; nil = no answer
	}{
		{"data", ChunkData, "12345678", []byte{0xfe, 0xed, 0xbe, 0xef, ChunkAbort, 1}},
		{"a heartbeat without anything", ChunkHeartbeat, "", []byte{0xfe, 0xed, 0xbe, 0xef, ChunkAbort, 1}},
		{"INIT", ChunkInit, "TAG!and more", []byte{'T', 'A', 'G', '!', ChunkAbort, 0}},
		{"INIT that is cut off", ChunkInit, "TAG", nil},
		{"ABORT", ChunkAbort, "", nil},
		{"SHUTDOWN COMPLETE", ChunkShutdownComplete, "", nil},
	} {
		for _, in := range [][]byte{
			build(7, sctp4("198.51.100.7:40000", "192.0.2.1:80", c.chunk, []byte(c.payload))...),
			build(7, sctp6("[2001:db8::7]:40000", "[2001:db8::1]:80", c.chunk, []byte(c.payload))...),
		} {
			var p Packet
			Parse(in, &p)
			dst := bytes.Repeat([]byte{0xee}, 1600)
			n := BuildReset(dst, &p)
			if c.want == nil {
				if n != 0 {
					t.Errorf("%s: answered", c.name)
				}
				continue
			}
			got := answered(t, dst, n)
			b := got.Data[got.L4:]
			if got.Flow() != p.Flow().Reverse() || got.TTL != 64 || !bytes.Equal(slices.Concat(b[4:8], b[12:14]), c.want) || !bytes.Equal(b[14:], []byte{0, 4}) {
				t.Errorf("%s: %+v % x", c.name, got, b)
			}
			if BuildReset(dst[:n-1], &p) != 0 {
				t.Errorf("%s: fits where it does not", c.name)
			}
		}
	}
}

func TestResetReflectsTheClassWithoutCongestionBits(t *testing.T) {
	s := tcp4("198.51.100.7:40000", "192.0.2.1:80", ACK, nil)
	s[1].(*layers.IPv4).TOS = 0xbb
	var p Packet
	Parse(build(64, s...), &p)
	dst := make([]byte, 1600)
	if got := answered(t, dst, BuildReset(dst, &p)); got.TOS != 0xb8 || !got.DF || got.FragID != 0 {
		t.Errorf("%+v", got)
	}
}

func TestErrorsKeepTheKindOfServiceOfWhatTheyAreAbout(t *testing.T) {
	s := udp4("198.51.100.7:40000", "192.0.2.1:53", nil)
	s[1].(*layers.IPv4).TOS = 0xf7
	var p Packet
	Parse(build(64, s...), &p)
	dst := make([]byte, 1600)
	if got := answered(t, dst, BuildError(dst, &p, addr("192.0.2.1"), Unreachable, 1, 0)); got.TOS != 0xd6 {
		t.Errorf("class %#x", got.TOS)
	}
}

func TestErrorsQuoteAsMuchAsTheyMay(t *testing.T) {
	for _, c := range []struct {
		name    string
		frame   []byte
		src     string
		typ     uint8
		longest int
	}{
		{"short IPv4", build(1, udp4("198.51.100.7:1", "192.0.2.1:53", []byte("x"))...), "192.0.2.1", 11, 57},
		{"long IPv4", build(1, udp4("198.51.100.7:1", "192.0.2.1:53", make([]byte, 1400))...), "192.0.2.1", 11, 576},
		{"short IPv6", build(1, udp6("[2001:db8::7]:1", "[2001:db8::1]:53", []byte("x"))...), "2001:db8::1", 3, 97},
		{"long IPv6", build(1, udp6("[2001:db8::7]:1", "[2001:db8::1]:53", make([]byte, 1400))...), "2001:db8::1", 3, 1280},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Packet
			Parse(c.frame, &p)
			dst := bytes.Repeat([]byte{0xee}, 1600)
			got := answered(t, dst, BuildError(dst, &p, addr(c.src), c.typ, 0, 0))
			if got.IPLen() != c.longest || got.TTL != 64 || got.Src != addr(c.src) || got.Dst != p.Src {
				t.Errorf("%d bytes, want %d: %+v", got.IPLen(), c.longest, got)
			}
			if !got.IsError || !got.Quote.OK || got.Quote.Flow() != p.Flow() {
				t.Errorf("%+v", got.Quote)
			}
			if quote := got.Data[got.L4+8:]; !bytes.HasPrefix(c.frame[p.L3:], quote) {
				t.Errorf("quoted % x", quote)
			}
			if got.V6 && got.TOS != 0 || !got.V6 && got.TOS != 0xc0 {
				t.Errorf("class %#x", got.TOS)
			}
		})
	}
}

func TestFragmentationNeededCarriesTheMTU(t *testing.T) {
	var p Packet
	dst := make([]byte, 1600)
	Parse(build(1, udp4("198.51.100.7:1", "192.0.2.1:53", nil)...), &p)
	got := answered(t, dst, BuildError(dst, &p, addr("192.0.2.1"), Unreachable, 4, 1300))
	if b := got.Data[got.L4:]; !bytes.Equal(b[4:8], []byte{0, 0, 5, 0x14}) {
		t.Errorf("% x", b[:8])
	}
	if BuildError(dst, &p, addr("2001:db8::1"), Unreachable, 4, 1300) != 0 {
		t.Error("an IPv6 router speaks of an IPv4 packet")
	}
	Parse(build(1, udp6("[2001:db8::7]:1", "[2001:db8::1]:53", nil)...), &p)
	got = answered(t, dst, BuildError(dst, &p, addr("2001:db8::1"), TooBig6, 0, 70000))
	if b := got.Data[got.L4:]; binary.BigEndian.Uint32(b[4:]) != 70000 {
		t.Errorf("% x", b[:8])
	}
}

func TestWhatNoErrorMayBeSentAbout(t *testing.T) {
	plain := build(64, udp4("198.51.100.7:1", "192.0.2.1:53", make([]byte, 16))...)
	group := bytes.Clone(plain)
	group[0] = 1
	q4, q6 := plain[ethLen:], build(64, udp6("[2001:db8::7]:1", "[2001:db8::1]:53", nil)...)[ethLen:]
	for _, c := range []struct {
		name  string
		frame []byte
		may   bool
	}{
		{"plain", plain, true},
		{"first fragment", edit(plain, 6, 0x20, 0), true},
		{"later fragment", edit(plain, 6, 0, 1), false},
		{"to a group", build(64, udp4("198.51.100.7:1", "224.0.0.5:53", nil)...), false},
		{"to all", build(64, udp4("198.51.100.7:1", "255.255.255.255:53", nil)...), false},
		{"to a group MAC", group, false},
		{"error", icmp4("10.0.0.1", "192.0.2.1", 3, 1, q4), false},
		{"redirect", icmp4("10.0.0.1", "192.0.2.1", 5, 1, q4), false},
		{"echo", icmp4("10.0.0.1", "192.0.2.1", 8, 0, q4), true},
		{"to a group 6", build(64, udp6("[2001:db8::7]:1", "[ff02::1]:53", nil)...), false},
		{"error 6", icmp6("2001:db8::7", "2001:db8::1", 1, 1, q6), false},
		{"unknown error 6", icmp6("2001:db8::7", "2001:db8::1", 100, 1, q6), false},
		{"redirect 6", icmp6("2001:db8::7", "2001:db8::1", 137, 0, q6), false},
		{"echo 6", icmp6("2001:db8::7", "2001:db8::1", 128, 0, q6), true},
	} {
		var p Packet
		if f := Parse(c.frame, &p); f != OK {
			t.Errorf("%s: %v", c.name, f)
		}
		if MayError(&p) != c.may {
			t.Errorf("%s: %v, want %v", c.name, !c.may, c.may)
		}
	}
}
