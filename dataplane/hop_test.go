package dataplane

import (
	"slices"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/packet"
)

// A hop that nobody uses goes when connections have let go of it. Until then
// one may look it up.
func TestAHopThatIsLookedUpAnewIsNotSweptAway(t *testing.T) {
	x := newWorld(t, topologies["twonic"], sizes{conns: 8, frames: 64, ring: 64})
	x.run(t)
	w, next := x.worker, Next{Link: 1, Via: addrOf("10.0.0.11"), MTU: 1500}
	id, why := w.hopOn(&next)
	x.hops.Set(1, next.Via, HopFailed, MAC{})
	before := uint32(w.tick)
	unused := func(used uint32) bool { return used <= before }
	x.now += 60 * Second
	x.run(t)
	if again, _ := w.hopOn(&next); why != Unexplained || again != id {
		t.Fatalf("hop %d, then %d: %v", id, again, why)
	}
	if gone := x.hops.Sweep(unused); len(gone) != 0 {
		t.Errorf("%d hops are gone", len(gone))
	}
	before = uint32(w.tick)
	if gone := x.hops.Sweep(unused); len(gone) != 1 || gone[0].Addr != next.Via {
		t.Errorf("%v are gone", gone)
	}
}

// Nor does one that a frame waits for, on a connection that looks nothing up.
func TestAHopThatAFrameWaitsForIsNotSweptAway(t *testing.T) {
	s := crowd(t, sizes{conns: 8, frames: 64, ring: 64})
	s.silent[addrOf("10.0.0.11")] = true
	nic, frame := s.bytesOf("public 198.51.100.7:1 -> 192.0.2.1:53 udp 9")
	s.nics[nic].Inject(frame)
	s.world.run(t)
	s.now += 60 * Second
	s.world.run(t)
	before := uint32(s.worker.tick)
	s.now += Second
	s.nics[nic].Inject(frame)
	s.world.run(t)
	if gone := s.hops.Sweep(func(used uint32) bool { return used <= before }); s.worker.Held() != 1 || len(gone) != 0 {
		t.Errorf("%d frames wait, %v are gone", s.worker.Held(), gone)
	}
}

// One gateway may serve routes of several MTUs: it is needed while one of them is.
func TestANeighbourIsGivenUpWithTheLastHopToIt(t *testing.T) {
	h, unused := NewHops(), func(used uint32) bool { return used < 10 }
	gateway, server := packet.AddrFrom4(0x0a000001), packet.AddrFrom4(0x0a00000b)
	h.claim(1, 1500, gateway, 5)
	used := h.claim(1, 1400, gateway, 20)
	h.claim(1, 1500, server, 5)
	h.claim(1, 1400, server, 6)
	for _, want := range [][]Neighbour{{{1, server}}, nil} {
		if got := h.Sweep(unused); !slices.Equal(got, want) {
			t.Errorf("given up: %v, want %v", got, want)
		}
	}
	if h.find(1, 1400, gateway) != used || h.count.Load() != 1 {
		t.Errorf("%d hops are left, want the one that is used", h.count.Load())
	}
	h.at(used).used.Store(0)
	if got := h.Sweep(unused); !slices.Equal(got, []Neighbour{{1, gateway}}) {
		t.Errorf("given up: %v, want the gateway", got)
	}
}

// A server's place may be another's before what it has sent has found its hop.
func TestWhatWaitsOutlivesItsServersPlace(t *testing.T) {
	s := &script{t: t, names: map[string]int{}, top: topologies["twonic"], sizes: sizes{conns: 100, frames: 256, ring: 256}}
	before := `$ sysctl expire_nodest_conn=1
		$ -A -u 192.0.2.1:53 -s rr
		$ -a -u 192.0.2.1:53 -r 10.0.0.11:5353 -m
		public  in   198.51.100.7:1 -> 192.0.2.1:53   udp 1
		private out  198.51.100.7:1 -> 10.0.0.11:5353 udp 1
		silent 192.0.2.254
		fail public 192.0.2.254
		private in   10.0.0.11:5353 -> 198.51.100.7:1 udp 7
		$ -d -u 192.0.2.1:53 -r 10.0.0.11:5353
		advance 1s`
	after := `$ -a -u 192.0.2.1:53 -r 10.0.0.12:5353 -m
		counters held=1 conns=0
		advance 2.1s
		private out  10.0.0.1 -> 10.0.0.11 icmp 3/1 ttl=64 tos=0xc0 id=$a about 10.0.0.11:5353 -> 198.51.100.7:1 udp 7 ttl=63 sumas=192.0.2.1:53>198.51.100.7:1`
	s.play(strings.Split(before, "\n"), 1, strings.NewReplacer())
	if gone := s.roster.Collect(); len(gone) != 1 {
		t.Fatalf("%d servers are gone", len(gone))
	}
	s.adopt()
	s.play(strings.Split(after, "\n"), 11, strings.NewReplacer())
}
