package packet

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// A maker builds a packet between two endpoints.
type maker func(src, dst string, ttl uint8, payload []byte) []byte

var makers = map[string]maker{
	"IPv4 UDP": func(src, dst string, ttl uint8, b []byte) []byte { return build(ttl, udp4(src, dst, b)...) },
	"IPv4 TCP": func(src, dst string, ttl uint8, b []byte) []byte { return build(ttl, tcp4(src, dst, PSH|ACK, b)...) },
	"IPv6 UDP": func(src, dst string, ttl uint8, b []byte) []byte { return build(ttl, udp6(src, dst, b)...) },
	"IPv6 TCP": func(src, dst string, ttl uint8, b []byte) []byte { return build(ttl, tcp6(src, dst, PSH|ACK, b)...) },

	"IPv4 SCTP": func(src, dst string, ttl uint8, b []byte) []byte { return build(ttl, sctp4(src, dst, ChunkData, b)...) },
	"IPv6 SCTP": func(src, dst string, ttl uint8, b []byte) []byte { return build(ttl, sctp6(src, dst, ChunkData, b)...) },
}

func names(kind string) (client, virtual, server string) {
	if kind[3] == '4' {
		return "198.51.100.7:40000", "192.0.2.1:80", "10.0.0.11:8080"
	}
	return "[2001:db8::7]:40000", "[2001:db8:1::100]:80", "[fd00:1::61]:8080"
}

func TestTranslateMakesWhatTheOtherSideWouldHaveSent(t *testing.T) {
	for kind, make := range makers {
		client, virtual, server := names(kind)
		in, out := NewRewrite(end(virtual), end(server)), NewRewrite(end(server), end(virtual))
		for n := range 100 {
			payload := bytes.Repeat([]byte{byte(n), 0xff}, n)[:n]
			for _, partial := range []bool{false, true} {
				got := translated(t, make(client, virtual, 64, payload), &in, Destination, partial)
				if want := make(client, server, 63, payload); !bytes.Equal(got, want) {
					t.Fatalf("%s in\n got % x\nwant % x", kind, got, want)
				}
				got = translated(t, make(server, client, 2, payload), &out, Source, partial)
				if want := make(virtual, client, 1, payload); !bytes.Equal(got, want) {
					t.Fatalf("%s out\n got % x\nwant % x", kind, got, want)
				}
			}
		}
	}
}

func TestWhatStaysUnfinishedIsRightOnceFinished(t *testing.T) {
	for kind, make := range makers {
		client, virtual, server := names(kind)
		in := NewRewrite(end(virtual), end(server))
		for n := range 100 {
			payload := bytes.Repeat([]byte{byte(n), 0xff}, n)[:n]
			var p Packet
			if f := Parse(make(client, virtual, 64, payload), &p); f != OK {
				t.Fatal(f)
			}
			binary.BigEndian.PutUint16(p.Data[p.checksumAt():], PseudoSum(p.Src, p.Dst, p.Proto, len(p.Data)-int(p.L4)))
			if p.Unfinished() != (p.Proto != SCTP) {
				t.Fatalf("%s is unfinished: %v", kind, p.Unfinished())
			}
			if p.Proto == SCTP {
				continue
			}
			if p.TranslateUnfinished(&in, Destination); !p.Unfinished() {
				t.Fatalf("%s of %d bytes does not stay so", kind, n)
			}
			p.FillChecksum()
			if want := make(client, server, 63, payload); !bytes.Equal(p.Data, want) {
				t.Fatalf("%s\n got % x\nwant % x", kind, p.Data, want)
			}
		}
	}
}

// translated parses frame, translates it, and checks that the Packet says the
// same as the bytes do.
func translated(t *testing.T, frame []byte, r *Rewrite, side Side, partial bool) []byte {
	t.Helper()
	var p, again Packet
	if f := Parse(frame, &p); f != OK {
		t.Fatal(f)
	}
	p.Translate(r, side, partial)
	if f := Parse(p.Data, &again); f != OK {
		t.Fatal(f)
	}
	if !same(p, again) {
		t.Fatalf("the Packet says %+v, its bytes say %+v", p, again)
	}
	return p.Data
}

func TestPartialChecksumsAreCompleted(t *testing.T) {
	for kind, make := range makers {
		client, virtual, server := names(kind)
		in := NewRewrite(end(virtual), end(server))
		payload := []byte("the sender's kernel left the sum to the NIC")
		frame := make(client, virtual, 64, payload)
		var p Packet
		Parse(frame, &p)
		if stored := p.Data[p.checksumAt():]; p.Proto == SCTP {
			clear(stored[:4])
		} else {
			binary.BigEndian.PutUint16(stored, PseudoSum(p.Src, p.Dst, p.Proto, len(p.Data)-int(p.L4)))
		}
		left := bytes.Clone(frame)
		if got, want := translated(t, frame, &in, Destination, true), make(client, server, 63, payload); !bytes.Equal(got, want) {
			t.Errorf("%s\n got % x\nwant % x", kind, got, want)
		}
		Parse(left, &p)
		p.CompletePartial()
		if want := make(client, virtual, 64, payload); !bytes.Equal(left, want) {
			t.Errorf("%s, not translated\n got % x\nwant % x", kind, left, want)
		}
	}
}

func TestWrongChecksumsStayWrongByTheSameDifference(t *testing.T) {
	for kind, make := range makers {
		client, virtual, server := names(kind)
		in := NewRewrite(end(virtual), end(server))
		frame, want := make(client, virtual, 64, nil), make(client, server, 63, nil)
		var p Packet
		Parse(frame, &p)
		at := p.checksumAt()
		for _, b := range [][]byte{frame[at:], want[at:]} {
			if p.Proto == SCTP {
				b[3] ^= 0x55
				continue
			}
			binary.BigEndian.PutUint16(b, ^fold(uint32(^binary.BigEndian.Uint16(b))+0x0101))
		}
		if got := translated(t, frame, &in, Destination, true); !bytes.Equal(got, want) {
			t.Errorf("%s\n got % x\nwant % x", kind, got, want)
		}
	}
}

func TestUDPWithoutChecksumStaysWithoutAndCanBeFilled(t *testing.T) {
	in := NewRewrite(end("192.0.2.1:80"), end("10.0.0.11:8080"))
	frame := makers["IPv4 UDP"]("198.51.100.7:40000", "192.0.2.1:80", 64, []byte("abc"))
	frame[40], frame[41] = 0, 0
	got := translated(t, frame, &in, Destination, true)
	if got[40] != 0 || got[41] != 0 {
		t.Errorf("checksum % x, want none", got[40:42])
	}
	var p Packet
	Parse(got, &p)
	p.FillChecksum()
	if want := makers["IPv4 UDP"]("198.51.100.7:40000", "10.0.0.11:8080", 63, []byte("abc")); !bytes.Equal(got, want) {
		t.Errorf("\n got % x\nwant % x", got, want)
	}
}

func TestUDPChecksumThatBecomesZeroIsSentAsFFFF(t *testing.T) {
	in := NewRewrite(end("192.0.2.1:80"), end("10.0.0.11:8080"))
	found := 0
	for x := range 1 << 16 {
		frame := makers["IPv4 UDP"]("198.51.100.7:40000", "192.0.2.1:80", 64, []byte{byte(x >> 8), byte(x)})
		if frame[40] == 0 && frame[41] == 0 {
			continue // gopacket writes what means "none"
		}
		got := translated(t, frame, &in, Destination, x%2 == 0)
		if got[40] == 0xff && got[41] == 0xff {
			found++
		}
		if err := VerifyChecksums(got); err != nil || got[40] == 0 && got[41] == 0 {
			t.Fatalf("%04x: % x: %v", x, got[40:42], err)
		}
	}
	if found != 1 {
		t.Errorf("%d payloads of 65536 gave 0xffff, want 1", found)
	}
}

func TestTCPChecksumZeroIsAnOrdinaryValue(t *testing.T) {
	in := NewRewrite(end("192.0.2.1:80"), end("10.0.0.11:8080"))
	frame := makers["IPv4 TCP"]("198.51.100.7:40000", "192.0.2.1:80", 64, nil)
	frame[50], frame[51] = 0, 0
	got := translated(t, frame, &in, Destination, true)
	if c := binary.BigEndian.Uint16(got[50:]); c != amend(0, uint32(in.L4Diff)) || c == 0 {
		t.Errorf("checksum %#04x", c)
	}
}

func TestALaterFragmentGetsTheAddressOnly(t *testing.T) {
	in := NewRewrite(end("192.0.2.1:80"), end("10.0.0.11:8080"))
	payload := gopacket.Payload("0123456789abcdef")
	piece := func(dst string, ttl uint8) []byte {
		ip := ipv4(netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr(dst), layers.IPProtocolUDP)
		ip.FragOffset = 185
		return build(ttl, ethernet(layers.EthernetTypeIPv4), ip, payload)
	}
	if got, want := translated(t, piece("192.0.2.1", 64), &in, Destination, true), piece("10.0.0.11", 63); !bytes.Equal(got, want) {
		t.Errorf("\n got % x\nwant % x", got, want)
	}
	in = NewRewrite(end("[2001:db8::1]:53"), end("[fd00:1::61]:5353"))
	frame := build(64, ipv6Fragment(UDP, 16, 7, payload)...)
	got := translated(t, bytes.Clone(frame), &in, Destination, true)
	if !bytes.Equal(got[ethLen+ipv6Len:], frame[ethLen+ipv6Len:]) || !bytes.Equal(got[38:54], netip.MustParseAddr("fd00:1::61").AsSlice()) {
		t.Errorf("% x", got)
	}
}

func TestRestoreUndoesAllButTTLAndTransportChecksum(t *testing.T) {
	for kind, make := range makers {
		client, virtual, server := names(kind)
		in := NewRewrite(end(virtual), end(server))
		got := translated(t, make(client, virtual, 64, []byte("x")), &in, Destination, false)
		want := make(client, virtual, 63, []byte("x"))
		var p, again Packet
		Parse(got, &p)
		size := map[uint8]int{TCP: 2, UDP: 2, SCTP: 4}[p.Proto]
		copy(want[p.checksumAt():], got[p.checksumAt():p.checksumAt()+size])
		p.Restore(end(virtual), Destination)
		if Parse(got, &again); !bytes.Equal(got, want) || !same(p, again) {
			t.Errorf("%s\n got % x\nwant % x", kind, got, want)
		}
	}
}

func TestForwardOnlyTakesOneFromTheTTL(t *testing.T) {
	for kind, make := range makers {
		client, virtual, _ := names(kind)
		frame := make(client, virtual, 64, nil)
		var p Packet
		Parse(frame, &p)
		p.Forward()
		if want := make(client, virtual, 63, nil); !bytes.Equal(frame, want) || p.TTL != 63 {
			t.Errorf("%s\n got % x\nwant % x", kind, frame, want)
		}
	}
}

func TestNothingOnTheFastPathAllocates(t *testing.T) {
	dst := make([]byte, 2000)
	for _, frame := range seeds() {
		var p Packet
		in := NewRewrite(end("192.0.2.1:80"), end("10.0.0.11:8080"))
		if len(frame) > 12 && frame[12] == 0x86 {
			in = NewRewrite(end("[2001:db8::1]:80"), end("[fd00::1]:8080"))
		}
		if n := testing.AllocsPerRun(100, func() {
			if Parse(frame, &p) != OK {
				return
			}
			BuildReset(dst, &p)
			BuildError(dst, &p, p.Dst, 3, 3, 0)
			f := NewFragmenter(&p, nil, 68, 1)
			f.Next(dst)
			if p.IsError && p.Quote.OK {
				p.TranslateQuote(Endpoint{in.Addr, in.Port}, Source)
			} else {
				p.Translate(&in, Destination, true)
				SetMACs(p.Data, MACFrom([6]byte{1}), MACFrom([6]byte{2}))
			}
		}); n != 0 {
			t.Errorf("%v allocations for % x", n, frame)
		}
	}
}
