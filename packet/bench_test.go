package packet

import "testing"

// A batch of frames, so that no load waits for the store before it, as in the
// worker.
const batch = 64

func frames(frame []byte) (out [batch][]byte) {
	for i := range out {
		out[i] = append([]byte{}, frame...)
	}
	return out
}

func BenchmarkParse(b *testing.B) {
	for _, c := range benchFrames() {
		b.Run(c.name, func(b *testing.B) {
			all := frames(c.frame)
			var p Packet
			for b.Loop() {
				for _, frame := range all {
					if Parse(frame, &p) != OK {
						b.Fatal("not parsed")
					}
				}
			}
			perPacket(b)
		})
	}
}

func BenchmarkParseAndTranslate(b *testing.B) {
	for _, c := range benchFrames() {
		b.Run(c.name, func(b *testing.B) {
			all := frames(c.frame)
			var p Packet
			Parse(all[0], &p)
			one, other := Endpoint{p.Dst, p.DstPort}, end("10.0.0.11:5353")
			if p.V6 {
				other = end("[fd00::11]:5353")
			}
			turns := [2]Rewrite{NewRewrite(one, other), NewRewrite(other, one)}
			for b.Loop() {
				for _, frame := range all {
					if Parse(frame, &p) != OK {
						b.Fatal("not parsed")
					}
					if p.TTL == 1 {
						copy(frame, c.frame)
						continue
					}
					p.Translate(&turns[p.TTL&1], Destination, true)
				}
			}
			perPacket(b)
			for _, frame := range all {
				if err := VerifyChecksums(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func perPacket(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/packet")
	b.ReportMetric(0, "ns/op")
}

type benchFrame struct {
	name  string
	frame []byte
}

// benchFrames have an even TTL, which BenchmarkParseAndTranslate counts on.
func benchFrames() []benchFrame {
	return []benchFrame{
		{"IPv4UDP64", build(64, udp4("198.51.100.7:40000", "192.0.2.1:53", make([]byte, 18))...)},
		{"IPv4TCP64", build(64, tcp4("198.51.100.7:40000", "192.0.2.1:80", ACK, nil)...)},
		{"IPv6UDP", build(64, udp6("[2001:db8::7]:40000", "[2001:db8::1]:53", make([]byte, 18))...)},
		{"IPv6TCP", build(64, tcp6("[2001:db8::7]:40000", "[2001:db8::1]:80", ACK, nil)...)},
	}
}
