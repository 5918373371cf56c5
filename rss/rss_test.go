package rss

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/packet"
)

// The key and the vectors of "Verifying the RSS hash calculation", which
// drivers are tested with.
const verifyKey = "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"

func TestToeplitzHashesAsPublished(t *testing.T) {
	key, _ := hex.DecodeString(verifyKey)
	for _, v := range []struct {
		src, dst       string
		addrs, tuple   uint32
		onlyAddresses  Fields
		everythingElse Fields
	}{
		{"66.9.149.187:2794", "161.142.100.80:1766", 0x323e8fc2, 0x51ccc178, addresses, all},
		{"199.92.111.2:14230", "65.69.140.83:4739", 0xd718262a, 0xc626b0ea, addresses, all},
		{"24.19.198.95:12898", "12.22.207.184:38024", 0xd2d0a5de, 0x5c2b394a, addresses, all},
		{"[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766", 0x2cc18cd5, 0x40207d3d, addresses, all},
		{"[3ffe:501:8::260:97ff:fe40:efab]:14230", "[ff02::1]:4739", 0x0f0c461c, 0xdde51bbf, addresses, all},
	} {
		f := packet.Flow{Src: endpoint(v.src), Dst: endpoint(v.dst)}
		if got := Toeplitz(key, Input(f, v.onlyAddresses)); got != v.addrs {
			t.Errorf("%s → %s, addresses: %#x, want %#x", v.src, v.dst, got, v.addrs)
		}
		if got := Toeplitz(key, Input(f, v.everythingElse)); got != v.tuple {
			t.Errorf("%s → %s: %#x, want %#x", v.src, v.dst, got, v.tuple)
		}
	}
}

func endpoint(s string) packet.Endpoint { return packet.EndpointFrom(netip.MustParseAddrPort(s)) }

func TestFieldsAreWrittenAsByEthtool(t *testing.T) {
	for f, want := range map[Fields]string{Source: "sf", Destination: "dn", all: "sdfn", addresses: "sd", Source | 2: "sf+0x2"} {
		if f.String() != want {
			t.Errorf("%#x is %q, want %q", uint64(f), f, want)
		}
	}
}

// translated returns a random flow of a client, and the flow of the answers
// behind the director.
func translated(r *rand.Rand) (public, private packet.Flow) {
	client := packet.Endpoint{Addr: packet.AddrFrom4(r.Uint32()), Port: uint16(r.Uint32())}
	virtual, real := endpoint("192.0.2.1:80"), endpoint("10.0.0.11:8080")
	if r.IntN(2) == 0 {
		client.Addr = packet.Addr{Hi: 0x2001_0db8<<32 | uint64(r.Uint32()), Lo: r.Uint64()}
		virtual, real = endpoint("[2001:db8::1]:80"), endpoint("[fd00::11]:8080")
	}
	real.Port += uint16(r.IntN(3))
	proto := []uint8{packet.TCP, packet.UDP}[r.IntN(2)]
	return packet.Flow{Proto: proto, Src: client, Dst: virtual}, packet.Flow{Proto: proto, Src: real, Dst: client}
}

// TestBothDirectionsMeet places frames of both directions by two NICs of every
// pair of shapes and compares with what the placement says.
func TestBothDirectionsMeet(t *testing.T) {
	type shape struct{ queues, table, key int }
	shapes := []shape{{2, 512, 52}, {4, 512, 52}, {3, 64, 52}, {8, 2048, 52}, {4, 128, 40}, {16, 256, 40}}
	r := rand.New(rand.NewPCG(1, 1))
	for _, a := range shapes {
		for _, b := range shapes {
			for workers := 2; workers <= min(a.queues, b.queues); workers++ {
				pub, priv := newDriver(a.queues, a.table, a.key), newDriver(b.queues, b.table, b.key)
				p, err := BySide([]Member{{pub, "eth0", Source, a.queues}, {priv, "eth1", Destination, b.queues}}, workers)
				if err != nil {
					t.Fatalf("%v, %v, %d workers: %v", a, b, workers, err)
				}
				used := map[*driver]map[int]bool{pub: {}, priv: {}}
				share := make([]int, workers)
				for range 2000 {
					in, out := translated(r)
					q, back, owner := pub.queue(in), priv.queue(out), p.Owner(in.Src)
					if q%workers != owner || back%workers != owner {
						t.Fatalf("%v, %v, %d workers: %v comes by queue %d, its answers by %d, the owner is %d", a, b, workers, in.Src, q, back, owner)
					}
					used[pub][q], used[priv][back] = true, true
					share[owner]++
				}
				if len(used[pub]) != a.queues || len(used[priv]) != b.queues {
					t.Errorf("%v, %v, %d workers: %d and %d queues are used", a, b, workers, len(used[pub]), len(used[priv]))
				}
				for w, n := range share {
					if n < 2000/workers*6/10 || n > 2000/workers*16/10 {
						t.Errorf("%v, %v, %d workers: worker %d gets %d of 2000", a, b, workers, w, n)
					}
				}
			}
		}
	}
}

// TestOrdinarySymmetricRSSDoesNotDo: the server's endpoint differs on the two
// sides, so a hash over all four fields separates them whatever the key.
func TestOrdinarySymmetricRSSDoesNotDo(t *testing.T) {
	pub, priv := newDriver(128, 128, 40), newDriver(128, 128, 40)
	pub.spread.Key, priv.spread.Key = SymmetricKey(40), SymmetricKey(40)
	r, met := rand.New(rand.NewPCG(2, 2)), 0
	for range 3000 {
		if in, out := translated(r); pub.queue(in) == priv.queue(out) {
			met++
		}
	}
	if met > 100 {
		t.Errorf("%d of 3000 flows met", met)
	}
}

func TestDriversAcceptOrRefuse(t *testing.T) {
	cases := map[string]struct {
		made    *driver
		accept  bool
		refuses bool // before anything is changed
	}{
		"i40e":                      {newDriver(4, 512, 52), true, false},
		"ice":                       {newDriver(4, 2048, 52), true, false},
		"iavf":                      {newDriver(4, 64, 52), true, false},
		"mlx5":                      {newDriver(4, 256, 40), true, false},
		"ena with field choice":     {newDriver(4, 128, 40), true, false},
		"ice in safe mode":          {ruled(newDriver(4, 2048, 52), none), false, true},
		"i40e in MFP mode":          {ruled(newDriver(4, 512, 52), none), false, true},
		"ena without field choice":  {ruled(newDriver(4, 128, 40), none), false, true},
		"ixgbe":                     {ruled(newDriver(4, 128, 40), intel), false, true},
		"igb":                       {ruled(newDriver(4, 128, 0), intel), false, true},
		"igc":                       {ruled(newDriver(4, 128, 40), intel), false, true},
		"bnxt":                      {ruled(newDriver(4, 128, 40), tuples), false, true},
		"virtio_net":                {ruled(newDriver(4, 128, 40), pairs), false, true},
		"hv_netvsc":                 {ruled(newDriver(4, 128, 40), pairs), false, true},
		"otx2":                      {ruled(newDriver(4, 256, 44), pairs), false, true},
		"gve":                       {ruled(newDriver(4, 128, 40), none), false, true},
		"veth":                      {changed(newDriver(4, 128, 40), func(d *driver) { d.unable = true }), false, true},
		"a key that stays":          {changed(newDriver(4, 128, 40), func(d *driver) { d.fixed = true }), false, false},
		"a table of no power of 2":  {newDriver(4, 72, 40), false, false},
		"a driver without table":    {newDriver(4, 0, 40), false, false},
		"a driver without key":      {newDriver(4, 128, 0), false, false},
		"one that says yes only":    {changed(newDriver(4, 128, 40), func(d *driver) { d.deaf = true }), false, false},
		"a symmetric hash before":   {changed(newDriver(4, 512, 52), func(d *driver) { d.spread.Transform = 1 }), true, false},
		"another function before":   {changed(newDriver(4, 512, 52), func(d *driver) { d.spread.Function = 4 }), true, false},
		"no transformations at all": {changed(newDriver(4, 128, 40), func(d *driver) { d.spread.Transform = TransformUnsettable }), true, false},
		"TCP but not UDP": {ruled(newDriver(4, 128, 40), func(_ *driver, k Kind, f Fields) error {
			if k == UDP6 {
				return intel(nil, k, f)
			}
			return nil
		}), false, false},
	}
	for name, c := range cases {
		other := newDriver(4, 512, 52)
		for _, members := range [][]Member{
			{{c.made, "eth0", Source, 4}, {other, "eth1", Destination, 4}},
			{{other, "eth0", Source, 4}, {c.made, "eth1", Destination, 4}},
		} {
			before := c.made.state() + other.state()
			saved, readable := map[NIC]Saved{}, true
			for _, m := range members {
				s, err := Save(m.NIC)
				saved[m.NIC], readable = s, readable && err == nil
			}
			_, err := BySide(members, 2)
			if c.accept != (err == nil) || err != nil && !errors.Is(err, ErrSide) {
				t.Errorf("%s: %v", name, err)
			}
			if !c.accept && c.refuses && c.made.changes != 0 {
				t.Errorf("%s: %d changes before it refused", name, c.made.changes)
			}
			if err != nil && !strings.Contains(err.Error(), "eth") && !strings.Contains(err.Error(), "table") && !strings.Contains(err.Error(), "key") {
				t.Errorf("%s: the error names no NIC: %v", name, err)
			}
			for _, m := range members {
				if readable {
					if err := Restore(m.NIC, saved[m.NIC]); err != nil {
						t.Errorf("%s: restore: %v", name, err)
					}
				}
			}
			if after := c.made.state() + other.state(); readable && after != before {
				t.Errorf("%s: before\n%s\nafter\n%s", name, before, after)
			}
		}
	}
}

func ruled(d *driver, accept func(*driver, Kind, Fields) error) *driver {
	d.accept = accept
	return d
}

func changed(d *driver, change func(*driver)) *driver {
	change(d)
	return d
}

func TestANICThatIsAsItShouldBeIsLeftAlone(t *testing.T) {
	d := ruled(newDriver(4, 128, 40), intel)
	s, err := Save(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := Restore(d, s); err != nil || d.changes != 0 {
		t.Errorf("%d changes, %v", d.changes, err)
	}
}

func TestTablesThatLeadApartAreRefused(t *testing.T) {
	key := SymmetricKey(40)
	good := Spread{Queues: []uint32{0, 1, 0, 1}, Key: key, Function: FunctionToeplitz}
	for name, s := range map[string]Spread{
		"other workers":  {Queues: []uint32{1, 0, 1, 0}, Key: key, Function: FunctionToeplitz},
		"finer":          {Queues: []uint32{0, 1, 0, 1, 0, 1, 1, 1}, Key: key, Function: FunctionToeplitz},
		"other function": {Queues: []uint32{0, 1, 0, 1}, Key: key, Function: 2},
		"other key":      {Queues: []uint32{0, 1, 0, 1}, Key: make([]byte, 40), Function: FunctionToeplitz},
		"no table":       {Key: key, Function: FunctionToeplitz},
	} {
		for _, both := range [][]Spread{{good, s}, {s, good}} {
			if _, err := NewPlacement(2, both...); !errors.Is(err, ErrSide) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := NewPlacement(2); !errors.Is(err, ErrSide) {
		t.Errorf("no NIC at all: %v", err)
	}
}

// TestOwnerIsToeplitz compares with the slow twin, over source and over
// destination.
func TestOwnerIsToeplitz(t *testing.T) {
	s := Spread{Queues: make([]uint32, 128), Key: SymmetricKey(52), Function: FunctionToeplitz}
	for i := range s.Queues {
		s.Queues[i] = uint32(i % 7)
	}
	p, err := NewPlacement(7, s)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 3))
	for range 10000 {
		in, out := translated(r)
		for f, fields := range map[packet.Flow]Fields{in: Source, out: Destination} {
			if want := s.Queues[Toeplitz(s.Key, Input(f, fields))%128]; p.Owner(in.Src) != int(want) {
				t.Fatalf("%v: owner %d, by %v queue %d", f, p.Owner(in.Src), fields, want)
			}
		}
	}
}

func TestOwnerAllocatesNothing(t *testing.T) {
	p, err := NewPlacement(1, Spread{Queues: make([]uint32, 128), Key: SymmetricKey(40), Function: FunctionToeplitz})
	if err != nil {
		t.Fatal(err)
	}
	e := endpoint("198.51.100.7:1")
	if n := testing.AllocsPerRun(100, func() { e.Port += uint16(1 + p.Owner(e)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkOwner(b *testing.B) {
	p, err := NewPlacement(2, Spread{Queues: make([]uint32, 512), Key: SymmetricKey(40), Function: FunctionToeplitz})
	if err != nil {
		b.Fatal(err)
	}
	e := endpoint("198.51.100.7:1")
	for b.Loop() {
		e.Port += uint16(1 + p.Owner(e))
	}
}
