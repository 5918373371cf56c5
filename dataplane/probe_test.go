package dataplane

import (
	"encoding/binary"
	"testing"
)

// idle returns a world in which n connections were silent for all but a second
// of their time.
func idle(t *testing.T, n int, z sizes) *script {
	t.Helper()
	s := crowd(t, z)
	for _, flags := range []string{"S", "A"} {
		nic, frame := s.bytesOf("public 198.51.100.7:1 -> 192.0.2.1:80 tcp " + flags)
		for i := range n {
			binary.BigEndian.PutUint16(frame[34:], uint16(1000+i))
			if !s.nics[nic].Inject(frame) {
				t.Fatal("the NIC did not take it")
			}
			s.worker.Round(s.now)
			s.resolve()
		}
	}
	s.pass(t, 899*Second)
	if s.worker.Table().Len() != n || s.worker.Counters.Probes != 0 {
		t.Fatalf("%d connections, %d probes", s.worker.Table().Len(), s.worker.Counters.Probes)
	}
	return s
}

// pass lets time go by, and says how many connections were asked at a time at
// most.
func (s *script) pass(t *testing.T, d Time) (most int) {
	t.Helper()
	for end := s.now + d; s.now < end; {
		s.now += Second / 10
		for range 40 { // what a tick has to visit
			s.worker.Round(s.now)
		}
		s.check(t)
		s.resolve()
		most = max(most, s.worker.probes.count)
	}
	return most
}

func TestIdleProbesAreBounded(t *testing.T) {
	const n = 9000
	s := idle(t, n, sizes{conns: 10_000, frames: 8192, ring: 256})
	if most := s.pass(t, 3*Second); most > probeSets*probeWays || most < 1000 {
		t.Errorf("%d connections were asked at a time", most)
	}
	if left := s.worker.Table().Len(); left != n {
		t.Errorf("%d connections are left, none was given up yet", left)
	}
	c := &s.worker.Counters
	if c.Probes > 3*uint64(s.worker.probes.rate.rate) {
		t.Errorf("%d questions in 3 seconds", c.Probes)
	}
	s.pass(t, 100*Second)
	if left := s.worker.Table().Len(); left != 0 || s.worker.probes.count != 0 {
		t.Errorf("%d connections never ended, %d probes", left, s.worker.probes.count)
	}
	if c.Probes != 6*n {
		t.Errorf("%d questions about %d connections", c.Probes, n)
	}
}

func TestWhereRoomIsShortNobodyWaitsForAProbe(t *testing.T) {
	const n = 9000
	s := idle(t, n, sizes{conns: n, frames: 8192, ring: 256})
	s.pass(t, 2*Second)
	if left := s.worker.Table().Len(); left > probeSets*probeWays {
		t.Errorf("%d connections are left", left)
	}
	s.pass(t, 10*Second)
	if left := s.worker.Table().Len(); left != 0 {
		t.Errorf("%d connections never ended", left)
	}
}
