package scheduler

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func twinAddr(id uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(id >> 16), byte(id >> 8), byte(id)})
}

func TestNewKnowsNamesAndFlags(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags []string
		want  error
	}{
		{"rr", nil, nil},
		{"rr", []string{"flag-1", "flag-3"}, nil}, // IPVS keeps and ignores them
		{"mh", []string{"mh-port", "mh-fallback"}, nil},
		{"mh", []string{"flag-2"}, nil},
		{"wlc", []string{"mh-port"}, ErrFlags},
		{"sh", []string{"sh-port", "sh-fallback"}, nil},
		{"sh", []string{"mh-port"}, ErrFlags},
		{"mh", []string{"sh-port"}, ErrFlags},
		{"mh", []string{""}, ErrFlags},
		{"rr ", nil, ErrUnknown},
		{"", nil, ErrUnknown},
	} {
		if _, err := New(test.name, test.flags); !errors.Is(err, test.want) {
			t.Errorf("New(%q, %q): %v", test.name, test.flags, err)
		}
	}
	if got := fmt.Sprint(Names()); got != "[dh fo lblc lblcr lc mh nq ovf rr sed sh twos wlc wrr]" {
		t.Error(got)
	}
}

func TestFlagsAreNamedAsIpvsadmListsThem(t *testing.T) {
	for _, test := range []struct {
		scheduler   string
		flags, want []string
	}{
		{"mh", []string{"flag-2", "flag-1"}, []string{"mh-fallback", "mh-port"}},
		{"mh", []string{"mh-port", "mh-port"}, []string{"mh-port"}},
		{"sh", []string{"sh-port", "flag-1"}, []string{"sh-fallback", "sh-port"}},
		{"rr", []string{"flag-3", "flag-1"}, []string{"flag-1", "flag-3"}},
		{"rr", nil, nil},
	} {
		if got, err := Flags(test.scheduler, test.flags); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s %q: %q, %v", test.scheduler, test.flags, got, err)
		}
	}
}

// Whatever the edits: in the next round every usable server is taken once.
func TestRoundRobinNeverSkipsOrRepeats(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	b := newBench(t, "rr", 1, 1, 1, 1, 1)
	present := map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true}
	for range 5000 {
		rs := 1 + r.IntN(9)
		switch {
		case !present[rs]:
			b.add(rs, r.IntN(3))
			present[rs] = true
		case r.IntN(2) == 0:
			b.edit(rs, r.IntN(3))
		default:
			b.delete(rs)
			present[rs] = false
		}
		seen, usable := map[int]int{}, 0
		for i := range b.servers {
			if b.servers[i].usable() {
				usable++
			}
		}
		for range usable {
			seen[b.s.Pick(b.servers, Key{})]++
		}
		if len(seen) != usable || seen[-1] > 0 {
			t.Fatalf("%d usable servers, taken %v", usable, seen)
		}
		for range r.IntN(3) {
			b.s.Pick(b.servers, Key{})
		}
	}
}

// The servers behind the last one taken keep their turn over any edit.
func TestRoundRobinKeepsTheTurnOverManyDeletesAtOnce(t *testing.T) {
	b := newBench(t, "rr", 1, 1, 1, 1, 1)
	b.want("rs5 rs4 rs3")
	b.servers = slices.DeleteFunc(slices.Clone(b.servers), func(s Server) bool { return rsOf(&s) == 3 || rsOf(&s) == 4 })
	b.s.Update(b.servers)
	b.want("rs2 rs1 rs5 rs2")
}

// A worker may hold the list before the last Update for one more batch.
func TestPickTakesAListOtherThanTheLastOne(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 11))
	for _, name := range Names() {
		for range 300 {
			s, _ := New(name, nil)
			lists := [][]Server{randomServers(r, r.IntN(9)), randomServers(r, r.IntN(9)), nil}
			for range 20 {
				s.Update(lists[r.IntN(3)])
				for range 5 {
					list := lists[r.IntN(3)]
					k := KeyFrom(netip.AddrPortFrom(twinAddr(r.Uint32()), 1), netip.AddrPort{})
					if i := s.Pick(list, k); i >= len(list) || i >= 0 && !list[i].usable() {
						t.Fatalf("%s chose %d of %d", name, i, len(list))
					}
				}
			}
		}
	}
}

func TestIPv6AddressesAreFolded(t *testing.T) {
	a := netip.MustParseAddr("2001:db8:1:2:3:4:5:6").As16()
	if got, want := fold(a), uint32(0x20010db8^0x00010002^0x00030004^0x00050006); got != want {
		t.Errorf("got %#x, want %#x", got, want)
	}
	if got := fold(netip.MustParseAddr("10.1.2.3").As16()); got != 0x0a010203 {
		t.Errorf("got %#x", got)
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, test := range pickers() {
		s, servers := test.make(100)
		k := KeyFrom(netip.MustParseAddrPort("[2001:db8::1]:40000"), netip.MustParseAddrPort("[2001:db8::2]:80"))
		if n := testing.AllocsPerRun(1000, func() { s.Pick(servers, k); k.Src[15]++; k.Dst[14]--; k.Now += 50000 }); n != 0 {
			t.Errorf("%s: %v allocations", test.name, n)
		}
	}
}

type picker struct {
	name, scheduler string
	flags           []string
}

func pickers() []picker {
	all := []picker{{"mh-fallback", "mh", []string{"mh-fallback"}}, {"sh-fallback", "sh", []string{"sh-fallback"}}}
	for _, name := range Names() {
		all = append(all, picker{name, name, nil})
	}
	return all
}

func (p picker) make(n int) (Scheduler, []Server) {
	s, err := New(p.scheduler, p.flags)
	if err != nil {
		panic(err)
	}
	servers := randomServers(rand.New(rand.NewPCG(12, 13)), n)
	for i := range servers {
		servers[i].Weight = 1 + i%7
	}
	s.Update(servers)
	return s, servers
}

func BenchmarkPick(b *testing.B) {
	for _, p := range pickers() {
		for _, n := range []int{3, 100} {
			b.Run(fmt.Sprintf("%s/servers=%d", p.name, n), func(b *testing.B) {
				s, servers := p.make(n)
				k := KeyFrom(netip.MustParseAddrPort("198.18.0.1:40000"), netip.MustParseAddrPort("192.0.2.1:80"))
				b.ReportAllocs()
				for b.Loop() {
					k.Src[14]++
					s.Pick(servers, k)
				}
			})
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, p := range pickers() {
		b.Run(p.name+"/servers=100", func(b *testing.B) {
			s, servers := p.make(100)
			for b.Loop() {
				s.Update(servers)
			}
		})
	}
}
