package dataplane

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/conntrack"
)

// What begins with another client port, and what goes on with it, is as dear
// as everything else: it allocates nothing.
func TestAnotherClientPortAllocatesNothing(t *testing.T) {
	s := crowd(t, sizes{conns: 1000, frames: 256, ring: 256})
	for _, line := range []string{"-A -u 192.0.2.2:53 -s rr", "-a -u 192.0.2.2:53 -r 10.0.0.11:5353 -m"} {
		if err := s.command(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
	}
	var first, second [100][]byte
	for k := range first {
		_, first[k] = s.bytesOf(fmt.Sprintf("public 198.51.100.%d:1 -> 192.0.2.1:53 udp 18", k))
		_, second[k] = s.bytesOf(fmt.Sprintf("public 198.51.100.%d:1 -> 192.0.2.2:53 udp 18", k))
	}
	n, aliased := 0, 0
	count := func(_ conntrack.Index, r *conntrack.Record) { aliased += int(r.Flags & conntrack.Aliased) }
	run := func() {
		n++
		for _, frame := range [][]byte{first[n%len(first)], second[n%len(second)], second[n%len(second)]} {
			s.nics[0].Inject(frame)
			s.worker.Round(s.now)
		}
		s.worker.Table().Walk(0, s.worker.Table().Slots(), count)
		s.now += 20 * Second
		s.worker.Round(s.now)
	}
	for range 3 {
		run()
		s.resolve()
	}
	if allocs := testing.AllocsPerRun(200, run); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if c := &s.worker.Counters; c.NewConns < 400 || c.Forwarded < 600 || c.Expired < 100 || aliased == 0 {
		t.Errorf("too little happened: %+v, aliased %d", c, aliased)
	}
}

// An alias takes a place: a table can be short of them with few connections.
func TestTheDefencesKnowThatAliasesTakeRoom(t *testing.T) {
	s := crowd(t, sizes{conns: 48, frames: 256, ring: 256})
	s.rules([]string{"-A -u 192.0.2.2:53 -s rr", "-a -u 192.0.2.2:53 -r 10.0.0.11:5353 -m"})
	for k := range 16 {
		for _, virtual := range []string{"192.0.2.1", "192.0.2.2"} {
			_, frame := s.bytesOf(fmt.Sprintf("public 198.51.100.%d:1 -> %s:53 udp 18", 1+k, virtual))
			s.nics[0].Inject(frame)
			s.world.run(t)
		}
	}
	s.now += 2 * Second
	s.world.run(t)
	if n := s.worker.Table().Len(); n != 32 || !s.worker.Short() {
		t.Errorf("%d connections; short of room: %t", n, s.worker.Short())
	}
}
