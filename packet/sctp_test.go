package packet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// The check value of CRC-32C (RFC 3720 appendix B.4: 32 bytes of zeros).
func TestSlowCRCIsTheOneOfTheRFC(t *testing.T) {
	if c := slowCRC(make([]byte, 32)); c != 0x8a9136aa {
		t.Errorf("%#08x", c)
	}
}

func TestCRCAgreesWithItsSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := sctpLen; n < 9000; n += 1 + n/7 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		fillCRC(b)
		if got, want := binary.LittleEndian.Uint32(b[8:]), slowCRC(b); got != want {
			t.Fatalf("%d bytes: %#08x, want %#08x", n, got, want)
		}
		changed := r.Uint32()
		was := slowCRC(b)
		binary.BigEndian.PutUint32(b, binary.BigEndian.Uint32(b)^changed)
		if got, want := crcDifference(changed, n), was^slowCRC(b); got != want {
			t.Fatalf("%d bytes, %#x changed: %#08x, want %#08x", n, changed, got, want)
		}
	}
}

func TestSCTPWithoutAnotherPortKeepsItsCRC(t *testing.T) {
	in := NewRewrite(end("192.0.2.1:80"), end("10.0.0.11:80"))
	frame := makers["IPv4 SCTP"]("198.51.100.7:40000", "192.0.2.1:80", 64, []byte("abc"))
	crc := bytes.Clone(frame[42:46])
	if got := translated(t, frame, &in, Destination, false); !bytes.Equal(got[42:46], crc) {
		t.Errorf("CRC % x, want % x", got[42:46], crc)
	}
}

func TestCRCOfAFragmentIsLeftAlone(t *testing.T) {
	in := NewRewrite(end("192.0.2.1:80"), end("10.0.0.11:8080"))
	frame := makers["IPv4 SCTP"]("198.51.100.7:40000", "192.0.2.1:80", 64, make([]byte, 32))
	frame[20] |= 0x20 // more fragments
	setHeaderChecksum(frame[14:34])
	crc := bytes.Clone(frame[42:46])
	got := translated(t, frame, &in, Destination, true)
	if !bytes.Equal(got[42:46], crc) || binary.BigEndian.Uint16(got[36:]) != 8080 {
		t.Errorf("port %d, CRC % x, want % x", binary.BigEndian.Uint16(got[36:]), got[42:46], crc)
	}
}

func TestTheDecidingChunkOfAnSCTPPacket(t *testing.T) {
	head := make([]byte, sctpLen)
	chunk := func(typ uint8, length int, body ...byte) []byte {
		return append([]byte{typ, 0, byte(length >> 8), byte(length)}, body...)
	}
	for _, c := range []struct {
		name   string
		chunks [][]byte
		want   uint8
	}{
		{"none", nil, NoChunk},
		{"half a header", [][]byte{{1, 0, 0}}, NoChunk},
		{"INIT", [][]byte{chunk(ChunkInit, 4)}, ChunkInit},
		{"SACK and DATA", [][]byte{chunk(ChunkSack, 4), chunk(ChunkData, 4)}, ChunkSack},
		{"ABORT behind DATA", [][]byte{chunk(ChunkData, 4), chunk(ChunkAbort, 4)}, ChunkData},
		{"ABORT behind a cookie", [][]byte{chunk(ChunkCookieEcho, 5, 1, 0, 0, 0), chunk(ChunkAbort, 4)}, ChunkAbort},
		{"ABORT behind its answer", [][]byte{chunk(ChunkCookieAck, 4), chunk(ChunkAbort, 4)}, ChunkAbort},
		{"DATA behind a cookie", [][]byte{chunk(ChunkCookieEcho, 4), chunk(ChunkData, 4)}, ChunkCookieEcho},
		{"half an ABORT", [][]byte{chunk(ChunkCookieEcho, 4), {ChunkAbort, 0, 0}}, ChunkCookieEcho},
		{"a cookie that is too short to be one", [][]byte{chunk(ChunkCookieEcho, 3), chunk(ChunkAbort, 4)}, ChunkCookieEcho},
		{"a cookie longer than the packet", [][]byte{chunk(ChunkCookieEcho, 65535), chunk(ChunkAbort, 4)}, ChunkCookieEcho},
	} {
		if got := chunkOf(append(bytes.Clone(head), bytes.Join(c.chunks, nil)...)); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestTheFirstChunkIsKnownBesideAnAbort(t *testing.T) {
	b := append(make([]byte, sctpLen), ChunkCookieEcho, 0, 0, 4, ChunkAbort, 0, 0, 4)
	for _, c := range []struct {
		data []byte
		want uint8
	}{{b, ChunkCookieEcho}, {b[:sctpLen+4], ChunkCookieEcho}, {b[:sctpLen], NoChunk}} {
		p := Packet{Data: c.data, Chunk: chunkOf(c.data)}
		if got := p.FirstChunk(); got != c.want {
			t.Errorf("%x: %d, want %d", c.data, got, c.want)
		}
	}
}

func TestAnSCTPHeaderThatIsCutOffIsAFault(t *testing.T) {
	frame := makers["IPv4 SCTP"]("198.51.100.7:40000", "192.0.2.1:80", 64, nil)
	var p Packet
	for n, want := range map[int]Fault{11: Truncated, 12: OK, 16: OK} {
		cut := bytes.Clone(frame[:34+n])
		binary.BigEndian.PutUint16(cut[16:], uint16(20+n))
		setHeaderChecksum(cut[14:34])
		if f := Parse(cut, &p); f != want {
			t.Errorf("%d bytes: %v", n, f)
		}
	}
	for offset := range uint16(3) {
		piece := bytes.Clone(frame)
		binary.BigEndian.PutUint16(piece[20:], 0x2000|offset)
		setHeaderChecksum(piece[14:34])
		if f := Parse(piece, &p); f != OK || p.HasPorts != (offset == 0) {
			t.Errorf("fragment at %d: %v, ports %v", offset*8, f, p.HasPorts)
		}
	}
}

func BenchmarkTranslateSCTP(b *testing.B) {
	for _, n := range []int{0, 1400} {
		frame := makers["IPv4 SCTP"]("198.51.100.7:40000", "192.0.2.1:80", 255, make([]byte, n))
		there := NewRewrite(end("192.0.2.1:80"), end("10.0.0.11:8080"))
		b.Run(map[bool]string{true: "small", false: "large"}[n == 0], func(b *testing.B) {
			var p Packet
			for b.Loop() {
				frame[22]++ // its TTL need not be right for this
				_ = Parse(frame, &p)
				p.TTL = 9
				p.Translate(&there, Destination, false)
			}
		})
	}
}
