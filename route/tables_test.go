package route

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// slowTables is the plain twin of tables: a list in order of preference.
type slowTables struct{ all []slowRoute }

type slowRoute struct {
	prefix netip.Prefix
	metric uint32
	gate   netip.Addr
}

func (s *slowTables) add(r slowRoute, how order) {
	if slices.Contains(s.all, r) {
		return
	}
	at := slices.IndexFunc(s.all, func(o slowRoute) bool { return o.prefix == r.prefix && o.metric == r.metric })
	switch {
	case at >= 0 && how == instead:
		s.all[at] = r
	case at >= 0 && how == first:
		s.all = slices.Insert(s.all, at, r)
	default:
		s.all = append(s.all, r)
	}
}

func (s *slowTables) remove(r slowRoute) bool {
	n := len(s.all)
	s.all = slices.DeleteFunc(s.all, func(o slowRoute) bool { return o == r })
	return len(s.all) < n
}

func (s *slowTables) lookup(a netip.Addr) (netip.Addr, bool) {
	hits := slices.DeleteFunc(slices.Clone(s.all), func(o slowRoute) bool { return !o.prefix.Contains(a) })
	if len(hits) == 0 {
		return netip.Addr{}, false
	}
	best := slices.MinFunc(hits, func(x, y slowRoute) int {
		return cmp.Or(cmp.Compare(y.prefix.Bits(), x.prefix.Bits()), cmp.Compare(x.metric, y.metric))
	})
	return best.gate, true
}

func (r slowRoute) route() *route {
	return &route{table: 254, prefix: r.prefix, path: path{
		kind: Unicast, v6: r.prefix.Addr().Is6(), metric: r.metric, hops: []hop{{ifindex: 2, gateway: r.gate, weight: 1}}}}
}

func TestTablesAgreeWithAPlainList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	fast, slow := newTables(newPaths()), &slowTables{}
	base := ip("10.9.0.0").As4()
	for step := range 20000 {
		binary.BigEndian.PutUint16(base[2:], uint16(rnd.IntN(4))<<7)
		p, _ := netip.AddrFrom4(base).Prefix(22 + rnd.IntN(5))
		r := slowRoute{p, uint32(rnd.IntN(3)), netip.AddrFrom4([4]byte{10, 0, 0, byte(rnd.IntN(5))})}
		if rnd.IntN(2) == 0 {
			how := order(rnd.IntN(3))
			if same, _, _ := fast.standing(r.route()); same != slices.Contains(slow.all, r) {
				t.Fatalf("step %d: standing %v", step, same)
			}
			fast.add(r.route(), how)
			slow.add(r, how)
		} else if got, want := fast.remove(r.route()), slow.remove(r); got != want {
			t.Fatalf("step %d: remove says %v, want %v", step, got, want)
		}
		binary.BigEndian.PutUint16(base[2:], uint16(rnd.IntN(1024)))
		a := netip.AddrFrom4(base)
		want, found := slow.lookup(a)
		n, ok := fast.table(space{false, 254}).best.Lookup(a)
		if ok != found || ok && fast.paths.all[n].hops[0].gateway != want {
			t.Fatalf("step %d: %s by %v %v, want %v %v", step, a, n, ok, want, found)
		}
	}
	for _, r := range slices.Clone(slow.all) {
		fast.remove(r.route())
	}
	if len(fast.paths.numbers) != 0 || len(fast.paths.free) != len(fast.paths.all) {
		t.Errorf("paths are left: %d of %d", len(fast.paths.numbers), len(fast.paths.all))
	}
}

func TestReleasedTablesHoldNoPath(t *testing.T) {
	ps := newPaths()
	tabs := newTables(ps)
	for i := range byte(200) {
		r := slowRoute{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, i % 50, 0, 0}), 16), uint32(i % 7), netip.AddrFrom4([4]byte{10, 0, 0, i % 3})}
		tabs.load(r.route())
		six := slowRoute{netip.PrefixFrom(ip(fmt.Sprintf("2001:db8:%x::", i)), 48), 0, ip("fe80::1")}
		tabs.load(six.route())
	}
	tabs.drop(false)
	if tabs.all[space{false, 254}] != nil || tabs.all[space{true, 254}].best.Size() != 200 {
		t.Errorf("drop took the wrong family")
	}
	tabs.release()
	if len(ps.numbers) != 0 {
		t.Errorf("%d paths are left", len(ps.numbers))
	}
}

// offline is a mirror without a kernel behind it.
func offline(routes int) *Mirror {
	m := &Mirror{follower: newFollower(), links: map[int]Link{2: {Index: 2, MTU: 1500}}, neighbours: map[place]known{}}
	m.rules = map[bool][]rule{false: defaultRules(), true: defaultRules()}
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range routes {
		a := netip.AddrFrom4([4]byte{byte(1 + rnd.IntN(220)), byte(rnd.IntN(256)), byte(rnd.IntN(256))})
		p, _ := a.Prefix(16 + rnd.IntN(9))
		r := slowRoute{p, 0, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}
		m.tables.load(r.route())
		b := ip("2001:db8::").As16()
		binary.BigEndian.PutUint32(b[4:], rnd.Uint32())
		p, _ = netip.AddrFrom16(b).Prefix(40 + rnd.IntN(9))
		m.tables.load(slowRoute{p, 0, ip("fe80::1")}.route())
	}
	for i := range byte(20) {
		r := slowRoute{prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, i, 1}), 32)}.route()
		r.table, r.path.kind = 255, Local
		m.tables.load(r)
	}
	m.publish()
	return m
}

func TestLookupDoesNotAllocate(t *testing.T) {
	m := offline(1000)
	four, six, own := ip("100.1.2.3"), ip("2001:db8::1"), ip("10.0.3.1")
	if n := testing.AllocsPerRun(1000, func() {
		m.Lookup(four, own, 2, 7)
		m.Lookup(six, six, 2, 7)
		m.Lookup(own, four, 0, 7)
		m.IsOwn(six)
		m.Generation()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, size := range []int{10, 1000, 1_000_000} {
		m := offline(size)
		rnd := rand.New(rand.NewPCG(3, 3))
		var four, six [4096]netip.Addr
		for i := range four {
			four[i] = netip.AddrFrom4([4]byte{byte(1 + rnd.IntN(220)), byte(rnd.IntN(256)), byte(rnd.IntN(256)), 1})
			a := ip("2001:db8::1").As16()
			binary.BigEndian.PutUint32(a[4:], rnd.Uint32())
			six[i] = netip.AddrFrom16(a)
		}
		for name, dst := range map[string]*[4096]netip.Addr{"v4": &four, "v6": &six} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					m.Lookup(dst[i%len(dst)], four[0], 2, uint32(i))
				}
			})
		}
	}
}

func BenchmarkOneChangeAmongAMillion(b *testing.B) {
	m := offline(1_000_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := slowRoute{netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 8), byte(i), 0}), 24), 0, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})}
		m.tables.add(r.route(), instead)
		m.publish()
	}
}
