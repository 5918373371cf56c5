package scheduler

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// mapOf returns the servers of 1024 clients, 198.18.0.1 to 198.18.4.0.
func mapOf(b *bench) []string {
	b.t.Helper()
	var m []string
	for a := netip.MustParseAddr("198.18.0.1"); len(m) < 1024; a = a.Next() {
		m = append(m, b.connect(netip.AddrPortFrom(a, 40000), false))
	}
	return m
}

func countIn(m []string) map[string]int {
	n := map[string]int{}
	for _, rs := range m {
		n[rs]++
	}
	return n
}

// Counts recorded on Linux 6.1 with servers at 10.1.0.61, .62, .63.
func TestMaglevSharesClientsAsRecorded(t *testing.T) {
	for _, test := range []struct {
		weights []int
		want    [4]int
	}{
		{[]int{1, 1, 1}, [4]int{0, 319, 334, 371}},
		{[]int{5, 3, 2}, [4]int{0, 476, 318, 230}},
		{[]int{3, 1}, [4]int{0, 748, 276, 0}},
	} {
		n := countIn(mapOf(newBenchAt(t, 60, "mh", test.weights...)))
		if got := [4]int{n["ERR"], n["rs1"], n["rs2"], n["rs3"]}; got != test.want {
			t.Errorf("weights %v: got %v, recorded %v", test.weights, got, test.want)
		}
	}
}

// Also recorded: of the 690 clients of the others three move.
func TestMaglevMovesFewClientsWhenAServerGoes(t *testing.T) {
	b := newBenchAt(t, 60, "mh", 1, 1, 1)
	before := mapOf(b)
	b.delete(2)
	after := mapOf(b)
	moved := map[string]int{}
	for i := range before {
		if before[i] != after[i] {
			moved[before[i]]++
		}
	}
	if moved["rs2"] != 334 || moved["rs1"]+moved["rs3"] != 3 {
		t.Errorf("moved: %v", moved)
	}
	zero := mapOf(newBenchAt(t, 60, "mh", 1, 0, 1))
	for i := range zero {
		if zero[i] != after[i] {
			t.Fatalf("client %d: a server added with weight 0 is not as if it were absent", i)
		}
	}
}

// Also recorded: one of 1024 clients differs.
func TestMaglevHardlyMindsTheOrderOfServers(t *testing.T) {
	first := mapOf(newBenchAt(t, 60, "mh", 1, 1, 1))
	b := newBenchAt(t, 60, "mh")
	for _, rs := range []int{3, 1, 2} {
		b.add(rs, 1)
	}
	differ := 0
	for i, rs := range mapOf(b) {
		if rs != first[i] {
			differ++
		}
	}
	if differ != 1 {
		t.Errorf("%d clients differ", differ)
	}
}

func TestMaglevKeepsTheSlotsOfAServerEditedToZero(t *testing.T) {
	b, fallback := newBench(t, "mh", 1, 1, 1), newBench(t, "mh.mh-fallback", 1, 1, 1)
	before := mapOf(b)
	b.edit(2, 0)
	fallback.edit(2, 0)
	refused, elsewhere := mapOf(b), mapOf(fallback)
	for i := range before {
		if (before[i] == "rs2") != (refused[i] == "ERR") {
			t.Fatalf("client %d of %s got %s", i, before[i], refused[i])
		}
		if before[i] == "rs2" {
			if elsewhere[i] != "rs1" && elsewhere[i] != "rs3" {
				t.Fatalf("client %d fell back on %s", i, elsewhere[i])
			}
		} else if before[i] != refused[i] || before[i] != elsewhere[i] {
			t.Fatalf("client %d of %s moved", i, before[i])
		}
	}
	b.edit(2, 1)
	for i, rs := range mapOf(b) {
		if rs != before[i] {
			t.Fatalf("client %d did not come back to %s", i, before[i])
		}
	}
}

func TestMaglevFallbackRefusesWhenNoServerIsUsable(t *testing.T) {
	b := newBench(t, "mh.mh-fallback", 1, 1)
	b.edit(1, 0)
	b.overload(2)
	b.want("ERR ERR")
}

func TestMaglevHashesThePortOnlyWhenAsked(t *testing.T) {
	if n := countOf(newBench(t, "mh", 1, 1, 1)); len(n) != 1 {
		t.Errorf("without mh-port one client got %v", n)
	}
	// Ports are added to the address, so 1024 ports are as 1024 addresses.
	if n := countOf(newBench(t, "mh.mh-port", 1, 1, 1)); len(n) != 3 {
		t.Errorf("with mh-port one client got %v", n)
	}
}

func countOf(b *bench) map[string]int {
	var m []string
	for port := range uint16(1024) {
		m = append(m, b.connect(netip.AddrPortFrom(netip.MustParseAddr("198.18.0.1"), port), false))
	}
	return countIn(m)
}

func TestMaglevGivesEverySlotAndInProportion(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		m := &mh{}
		servers, sum := randomServers(r, 1+r.IntN(40)), 0
		for i := range servers {
			sum += servers[i].Weight
		}
		m.Update(servers)
		n := make([]int, len(servers)+1)
		for _, s := range m.table {
			n[s]++
		}
		if sum == 0 {
			continue
		}
		if n[0] != 0 {
			t.Fatalf("%d slots are empty", n[0])
		}
		for i := range servers {
			want := slots * servers[i].Weight / sum
			// A round gives each server its turns; the last may be cut short.
			if d := n[i+1] - want; d < -20 || d > 20 {
				t.Errorf("weight %d of %d: %d slots, not about %d", servers[i].Weight, sum, n[i+1], want)
			}
		}
	}
}

func TestMaglevMovesFewSlotsOfOtherServers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		servers := randomServers(r, 3+r.IntN(20))
		for i := range servers {
			servers[i].Weight = 1
		}
		var before, after mh
		before.Update(servers)
		gone := r.IntN(len(servers))
		left := append(append([]Server{}, servers[:gone]...), servers[gone+1:]...)
		after.Update(left)
		moved := 0
		for slot := range uint32(slots) {
			was := before.at(slot, servers)
			if was != gone && servers[was].ID != left[after.at(slot, left)].ID {
				moved++
			}
		}
		if moved > slots/20 {
			t.Errorf("one of %d servers went: %d slots of others moved", len(servers), moved)
		}
	}
}

// A table can hold only so many servers; more must do no harm.
func TestMaglevSurvivesMoreServersThanSlots(t *testing.T) {
	servers := randomServers(rand.New(rand.NewPCG(5, 6)), 70000)
	var m mh
	m.Update(servers)
	for slot := range uint32(slots) {
		if m.at(slot, servers) < 0 {
			t.Fatalf("slot %d is empty", slot)
		}
	}
}

// The vectors of Linux' lib/test_siphash.c for 64-bit machines have the key
// 00 01 02 ... 0f; that for the four bytes 00 01 02 03 is this.
func TestSipHashGivesThePublishedVector(t *testing.T) {
	if got := sipHash13(0x03020100, 0x0706050403020100, 0x0f0e0d0c0b0a0908); got != 0x88d38328 {
		t.Errorf("got %#x", got)
	}
}

func randomServers(r *rand.Rand, n int) []Server {
	servers := make([]Server, n)
	for i := range servers {
		servers[i] = Server{
			ID: uint32(i + 1), Weight: r.IntN(5), Counts: new(Counts), Port: 80,
			Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
		}
	}
	return servers
}
