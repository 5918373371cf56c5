package packet

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// moved returns a client endpoint with another port.
func moved(client string) string { return client[:len(client)-len("40000")] + "1029" }

func TestAMovedPortIsWhatTheOtherSideWouldHaveSent(t *testing.T) {
	for kind, make := range makers {
		client, virtual, server := names(kind)
		in, out := NewRewrite(end(virtual), end(server)), NewRewrite(end(server), end(virtual))
		for n := range 100 {
			payload := bytes.Repeat([]byte{byte(n), 0xff}, n)[:n]
			for _, partial := range []bool{false, true} {
				got := make(client, virtual, 64, payload)
				movePort(t, got, 1029, Source, partial)
				got = translated(t, got, &in, Destination, partial)
				if want := make(moved(client), server, 63, payload); !bytes.Equal(got, want) {
					t.Fatalf("%s in\n got % x\nwant % x", kind, got, want)
				}
				got = make(server, moved(client), 64, payload)
				movePort(t, got, 40000, Destination, partial)
				got = translated(t, got, &out, Source, partial)
				if want := make(virtual, client, 63, payload); !bytes.Equal(got, want) {
					t.Fatalf("%s out\n got % x\nwant % x", kind, got, want)
				}
			}
		}
	}
}

func movePort(t *testing.T, frame []byte, to uint16, side Side, partial bool) {
	t.Helper()
	var p, again Packet
	if f := Parse(frame, &p); f != OK {
		t.Fatal(f)
	}
	p.MovePort(to, side, partial)
	if Parse(frame, &again); again.SrcPort != p.SrcPort || again.DstPort != p.DstPort {
		t.Fatalf("the Packet says %v, its bytes say %v", p.Flow(), again.Flow())
	}
}

func TestAMovedPortCompletesOnlyWhatIsPartial(t *testing.T) {
	for kind, make := range makers {
		client, virtual, _ := names(kind)
		frame := make(client, virtual, 64, []byte("left to a NIC"))
		var p Packet
		Parse(frame, &p)
		stored, partial := p.Data[p.checksumAt():], uint16(0)
		if p.Proto == SCTP {
			clear(stored[:4])
		} else {
			partial = PseudoSum(p.Src, p.Dst, p.Proto, len(p.Data)-int(p.L4))
			binary.BigEndian.PutUint16(stored, partial)
		}
		wrong := bytes.Clone(frame)
		movePort(t, frame, 1029, Source, true)
		if want := make(moved(client), virtual, 64, []byte("left to a NIC")); !bytes.Equal(frame, want) {
			t.Errorf("%s\n got % x\nwant % x", kind, frame, want)
		}
		movePort(t, wrong, 1029, Source, false)
		if p.Proto != UDP && VerifyChecksums(wrong) == nil {
			t.Errorf("%s: a wrong checksum became right", kind)
		}
	}
}

func TestAQuotedPortMovesWithTheChecksumOfTheError(t *testing.T) {
	for kind := range makers {
		client, _, server := names(kind)
		before, after := quoted(kind, moved(client), server), quoted(kind, client, server)
		keepChecksum(kind, after, before)
		var got, want []byte
		if kind[3] == '4' {
			got, want = icmp4("10.0.0.11", split(client), 3, 3, before), icmp4("10.0.0.11", split(client), 3, 3, after)
		} else {
			got, want = icmp6("fd00::99", split(client), 1, 4, before), icmp6("fd00::99", split(client), 1, 4, after)
		}
		var p Packet
		Parse(got, &p)
		p.MoveQuotedPort(40000, Source)
		if !bytes.Equal(got, want) || p.Quote.SrcPort != 40000 {
			t.Errorf("%s\n got % x\nwant % x", kind, got, want)
		}
	}
}
