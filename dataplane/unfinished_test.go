package dataplane

import (
	"testing"

	"github.com/lvx-lb/lvx/nic"
)

// TestScriptsWithNICsThatFinishChecksums plays them where checksums may be left
// to the NIC: what is on the wire is the same.
func TestScriptsWithNICsThatFinishChecksums(t *testing.T) {
	for _, detour := range []bool{false, true} {
		eachScript(t, func(t *testing.T, top topology, text string) {
			playScript(t, top, text, sizes{conns: 1000, frames: 256, ring: 256, finishes: true, detour: detour})
		})
	}
}

// leaving notes which frames leave their checksum to the NIC.
type leaving struct {
	nic.Queue
	left []bool
}

func (l *leaving) Transmit(frames []nic.Frame) int {
	n := l.Queue.Transmit(frames)
	for _, f := range frames[:n] {
		l.left = append(l.left, f.Options == nic.FinishChecksum)
	}
	return n
}

func TestChecksumsAreLeftOnlyWhereTheyAreUnfinishedAndTheNICFinishesThem(t *testing.T) {
	for name, c := range map[string]struct {
		line              string
		finishes, partial bool
		want              bool
	}{
		"TCP":                    {"public 198.51.100.7:1 -> 192.0.2.1:80 tcp PA data=33 sum=partial", true, true, true},
		"UDP":                    {"public 198.51.100.8:2 -> 192.0.2.1:53 udp 18 sum=partial", true, true, true},
		"UDP over IPv6":          {"public [2001:db8::7]:2 -> [2001:db8::1]:53 udp 18 sum=partial", true, true, true},
		"a finished one":         {"public 198.51.100.8:2 -> 192.0.2.1:53 udp 18", true, true, false},
		"SCTP":                   {"public 198.51.100.7:1 -> 192.0.2.1:90 sctp INIT sum=partial", true, true, false},
		"a NIC that does not":    {"public 198.51.100.7:1 -> 192.0.2.1:80 tcp PA data=33 sum=partial", false, true, false},
		"a link of finished one": {"public 198.51.100.7:1 -> 192.0.2.1:80 tcp PA data=33 sum=partial", true, false, false},
	} {
		for _, detour := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				s := crowd(t, sizes{conns: 8, frames: 64, ring: 64, finishes: c.finishes, detour: detour})
				if c.partial {
					s.prepare(t, true, 0)
				}
				q := &leaving{Queue: s.worker.nics[1].queues[0]}
				s.worker.nics[1].queues[0] = q
				for _, line := range []string{"public 198.51.100.7:1 -> 192.0.2.1:80 tcp S", c.line, c.line} {
					n, frame := s.bytesOf(line)
					s.nics[n].Inject(frame)
					s.world.run(t)
				}
				if last := q.left[len(q.left)-1]; last != c.want {
					t.Errorf("left to the NIC: %v", last)
				}
			})
		}
	}
}
