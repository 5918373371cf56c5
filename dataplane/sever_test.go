package dataplane

import (
	"fmt"
	"strings"
	"testing"
)

// Who drains a server asks again every second, and servers may be deleted all
// the time: a walk through a large table takes longer.
func TestSweepsComeToTheEndOfTheTableHoweverOftenTheyAreAsked(t *testing.T) {
	const virtual, real, conns = "192.0.2.1:53", "10.0.0.11:5353", 20
	for name, ask := range map[string]func(*script){
		"severed": func(s *script) {
			s.serverOf(virtual, real).Sever()
			s.worker.Sever()
		},
		"deleted": func(s *script) {
			for _, line := range []string{"sysctl expire_nodest_conn=1", "-d -u " + virtual + " -r " + real, "-a -u 192.0.2.1:54 -r 10.0.0.14:1 -m", "-d -u 192.0.2.1:54 -r 10.0.0.14:1"} {
				_ = s.command(strings.Fields(line)) // the first time all that is named is there
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := crowd(t, sizes{conns: 4 * sweepSlots, frames: 256, ring: 64})
			for k := range conns {
				s.arrive(s.bytesOf(fmt.Sprintf("public 198.51.100.7:%d -> %s udp 18", 1000+k, virtual)))
				s.run(t)
			}
			if n := s.worker.Table().Len(); n != conns {
				t.Fatalf("%d connections, want %d", n, conns)
			}
			for range 2 * s.worker.Table().Slots() / sweepSlots {
				ask(s)
				s.worker.Round(s.now)
			}
			if n := s.worker.Table().Len(); n != 0 {
				t.Errorf("%d connections are left", n)
			}
		})
	}
}
