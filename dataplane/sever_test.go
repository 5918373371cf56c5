package dataplane

import (
	"fmt"
	"testing"
)

// Who drains a server asks again every second: a large table takes longer.
func TestSeveringComesToTheEndOfTheTableHoweverOftenItIsAsked(t *testing.T) {
	s := crowd(t, sizes{conns: 4 * sweepSlots, frames: 256, ring: 64})
	const conns = 20
	for k := range conns {
		s.arrive(s.bytesOf(fmt.Sprintf("public 198.51.100.7:%d -> 192.0.2.1:53 udp 18", 1000+k)))
		s.run(t)
	}
	if n := s.worker.Table().Len(); n != conns {
		t.Fatalf("%d connections, want %d", n, conns)
	}
	s.serverOf("192.0.2.1:53", "10.0.0.11:5353").Sever()
	for range 2 * s.worker.Table().Slots() / sweepSlots {
		s.worker.Sever()
		s.worker.Round(s.now)
	}
	if n := s.worker.Table().Len(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}
