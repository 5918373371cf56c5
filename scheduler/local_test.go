package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func to(n int) Key {
	return Key{Dst: [16]byte{10: 0xff, 11: 0xff, 12: 192, 14: byte(n >> 8), 15: byte(n)}}
}

// One address sticks to one server until that has more active connections
// than weight and another has less than half.
func TestLocalKeepsAnAddressOnOneServerUntilItIsCrowded(t *testing.T) {
	for _, test := range []struct {
		name string
		want string
	}{
		{"lblc", "rs2 rs2 rs2 rs2 rs1 rs1 rs1 rs1 rs1 rs1"},
		// The set has both; the lighter one is taken.
		{"lblcr", "rs2 rs2 rs2 rs2 rs1 rs1 rs1 rs1 rs1 rs2"},
	} {
		b := newBench(t, test.name, 3, 3)
		var got []string
		for range strings.Fields(test.want) {
			i := b.s.Pick(b.servers, to(1))
			b.servers[i].Counts.Begin(true)
			got = append(got, fmt.Sprintf("rs%d", rsOf(&b.servers[i])))
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("%s chose %s, not %s", test.name, got, test.want)
		}
	}
}

// IPVS lets lblc go on to a server that passed a threshold.
func TestOnlyLblcrMindsThresholds(t *testing.T) {
	for name, want := range map[string]string{"lblc": "rs2", "lblcr": "rs1"} {
		b := newBench(t, name, 1, 1)
		b.want("rs2")
		b.overload(2)
		b.want(want)
	}
}

func TestLocalFindsAServerAgainThatComesBackInTime(t *testing.T) {
	b := newBench(t, "lblc", 1, 1)
	b.want("rs2 rs2")
	b.delete(2)
	b.add(2, 1)
	b.servers[0].Counts.Begin(false) // wlc would take rs1
	b.want("rs2 rs2")
	b.delete(2)
	b.want("rs1")
	b.add(2, 1)
	b.want("rs1")
}

// A service whose servers come and go for years.
func TestLocalForgetsServersThatLeftLongAgo(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		s, err := New(name, nil, Addresses(50))
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		l := s.(*local)
		for id := uint32(1); id < 4*maxAbsent; id++ {
			list := []Server{{ID: id, Weight: 1, Counts: new(Counts), Addr: twinAddr(id)}}
			s.Update(list)
			if i := s.Pick(list, to(r.IntN(100))); i != 0 {
				t.Fatalf("%s chose %d of one", name, i)
			}
			if id%50 == 0 {
				checkMemory(t, l)
			}
		}
		if n := len(l.roll.seen); n > maxAbsent+1 {
			t.Errorf("%s knows %d servers", name, n)
		}
	}
}

// checkMemory checks that places and members are each used or free, once.
func checkMemory(t *testing.T, l *local) {
	t.Helper()
	m := &l.memory
	used, members := 0, 0
	for p := m.newest; p != none; p = m.places[p].older {
		size := int32(0)
		for i := m.places[p].members; i != none; i = m.members[i].next {
			if n := m.members[i].server; n < 0 || int(n) >= len(l.roll.seen) {
				t.Fatalf("member is server %d of %d", n, len(l.roll.seen))
			}
			size++
		}
		if size != m.places[p].size || m.find(&m.places[p].addr) != p {
			t.Fatalf("place %d: %d members, not %d", p, size, m.places[p].size)
		}
		used, members = used+1, members+int(size)
	}
	for p := m.freePlace; p != none; p = m.places[p].next {
		used++
	}
	for i := m.freeMember; i != none; i = m.members[i].next {
		members++
	}
	if used != len(m.places) || used > m.limit || members != len(m.members) {
		t.Fatalf("%d of %d places, at most %d; %d of %d members", used, len(m.places), m.limit, members, len(m.members))
	}
}

// The slow twin is a list of addresses, the one used last in front.
func TestAFullMemoryForgetsTheAddressUnusedLongest(t *testing.T) {
	const limit = 20
	r := rand.New(rand.NewPCG(3, 4))
	s, _ := New("lblc", nil, Addresses(limit))
	l := s.(*local)
	servers := randomServers(r, 3)
	for i := range servers {
		servers[i].Weight = 1
	}
	s.Update(servers)
	var recent []int
	for range 5000 {
		n := r.IntN(40)
		k := to(n)
		known := slices.Contains(recent, n)
		if got := l.memory.find(&k.Dst) != none; got != known {
			t.Fatalf("address %d: known %v, want %v", n, got, known)
		}
		s.Pick(servers, k)
		recent = append([]int{n}, slices.DeleteFunc(recent, func(x int) bool { return x == n })...)
		recent = recent[:min(len(recent), limit)]
		checkMemory(t, l)
	}
}

// Sets that all grow to all servers need more members than there are.
func TestSetsGrowOnlyAsFarAsTheMemory(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	s, _ := New("lblcr", nil, Addresses(30))
	servers := randomServers(r, 20)
	for i := range servers {
		servers[i].Weight = 2
	}
	s.Update(servers)
	for range 20000 {
		k := to(r.IntN(40))
		k.Now = uint32(r.IntN(100))
		for i := range servers {
			servers[i].Counts.Active.Store(int32(r.IntN(2) * 3))
		}
		if i := s.Pick(servers, k); i < 0 {
			t.Fatal("nobody chosen")
		}
	}
	checkMemory(t, s.(*local))
	if n := testing.AllocsPerRun(1000, func() {
		k := to(r.IntN(400))
		servers[r.IntN(20)].Counts.Active.Store(int32(r.IntN(5)))
		s.Pick(servers, k)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
