package conntrack

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/lvx-lb/lvx/packet"
)

const (
	tcp = 6
	udp = 17
)

func at(s string) packet.Endpoint { return packet.EndpointFrom(netip.MustParseAddrPort(s)) }

func addr(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

// Server slots of the tests: 0 and 1 are one real server behind two virtual
// addresses, 2 is another real server, 3 and 4 are the like in IPv6. 5 and 6
// have connections with virtual addresses of their own.
var pairs = []Pair{
	{addr("192.0.2.1"), addr("10.0.0.11")},
	{addr("192.0.2.2"), addr("10.0.0.11")},
	{addr("192.0.2.1"), addr("10.0.0.12")},
	{addr("2001:db8::1"), addr("fd00::11")},
	{addr("2001:db8::2"), addr("fd00::11")},
	{nowhere, addr("10.0.0.11")},
	{nowhere, addr("fd00::11")},
}

var nowhere = addr("ffff::")

func newTable(t testing.TB, capacity int) *Table {
	t.Helper()
	table, err := New(Config{Capacity: capacity, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	table.Pairs = pairs
	t.Cleanup(func() { table.Close() })
	return table
}

// open inserts a connection from client to a server slot's virtual address.
func (t *Table) open(now Tick, proto uint8, client packet.Endpoint, server uint32, vport, rport uint16, s State) (Index, Room) {
	return t.Insert(now, t.Hash(proto, client), proto, client, server, vport, rport, s)
}

func (t *Table) find(proto uint8, client, other packet.Endpoint, dir Direction) Index {
	return t.Find(t.Hash(proto, client), proto, client, other, dir)
}

func TestOneRecordAnswersBothFlows(t *testing.T) {
	for _, c := range []struct {
		name                   string
		client, virtual, realS string
		server                 uint32
	}{
		{"IPv4", "198.51.100.7:40000", "192.0.2.1:80", "10.0.0.11:8080", 0},
		{"IPv6", "[2001:db8:9::7]:40000", "[2001:db8::1]:80", "[fd00::11]:8080", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := newTable(t, 100)
			client, virtual, server := at(c.client), at(c.virtual), at(c.realS)
			i, room := table.open(5, tcp, client, c.server, virtual.Port, server.Port, SynRecv)
			if room != OK || table.Len() != 1 {
				t.Fatalf("Insert: room %v, %d connections", room, table.Len())
			}
			if got := table.find(tcp, client, virtual, ToServer); got != i {
				t.Errorf("to the server: %v, want %v", got, i)
			}
			if got := table.find(tcp, client, server, ToClient); got != i {
				t.Errorf("to the client: %v, want %v", got, i)
			}
			if r := table.At(i); r.Client() != client || r.Proto() != tcp || r.State != SynRecv || r.Server != c.server {
				t.Errorf("record holds %v %v %v", r.Client().Netip(), r.Proto(), r.State)
			}
			for name, miss := range map[string]Index{
				"another protocol":     table.find(udp, client, virtual, ToServer),
				"another client port":  table.find(tcp, packet.Endpoint{Addr: client.Addr, Port: 1}, virtual, ToServer),
				"another virtual port": table.find(tcp, client, packet.Endpoint{Addr: virtual.Addr, Port: 81}, ToServer),
				"the other direction":  table.find(tcp, client, virtual, ToClient),
				"another server":       table.find(tcp, client, packet.Endpoint{Addr: virtual.Addr, Port: 8080}, ToClient),
			} {
				if miss != None {
					t.Errorf("%s finds %v", name, miss)
				}
			}
			table.Remove(i)
			if table.find(tcp, client, virtual, ToServer) != None || table.Len() != 0 {
				t.Error("found after Remove")
			}
			if gone := table.Gone(); len(gone) != 1 || gone[0] != (Gone{Index: i, Server: c.server, State: SynRecv}) {
				t.Errorf("Gone: %v", gone)
			}
		})
	}
}

func TestNameDiesWithItsConnection(t *testing.T) {
	table := newTable(t, 100)
	client := at("198.51.100.7:40000")
	i, _ := table.open(0, tcp, client, 0, 80, 80, SynRecv)
	name := table.Name(i)
	if table.Named(name) != i {
		t.Error("lives, but is not found")
	}
	table.Remove(i)
	if table.Named(name) != None {
		t.Error("removed, but found")
	}
	again, _ := table.open(0, tcp, client, 0, 80, 80, SynRecv)
	if again != i {
		t.Errorf("slot %d is not used again but %d", i, again)
	}
	if table.Named(name) != None || table.Named(table.Name(again)) != again {
		t.Error("the old name finds the new connection")
	}
	if table.Named(Name{None, 0}) != None || table.Named(Name{}) != None {
		t.Error("a name of nothing finds something")
	}
}

func TestPacketOfAnEndedConnectionChangesNothing(t *testing.T) {
	table := newTable(t, 100)
	i, _ := table.open(0, tcp, at("198.51.100.7:1"), 0, 80, 80, TimeWait)
	table.open(0, tcp, at("198.51.100.7:2"), 0, 80, 80, TimeWait)
	table.Remove(i)
	before := *table.At(i)
	if old, next := table.Packet(i, 5, ToServer, EventSYN); old != next {
		t.Errorf("%v → %v", old, next)
	}
	table.Touch(i, 5)
	table.Remove(i)
	if *table.At(i) != before || len(table.Gone()) != 1 {
		t.Errorf("record %+v, gone %v", *table.At(i), table.Gone())
	}
	if err := table.sound(0); err != nil {
		t.Error(err)
	}
}

func TestWalkMeetsEveryConnectionOnce(t *testing.T) {
	table := newTable(t, 1000)
	for port := range uint16(500) {
		state := Established
		if port%5 == 0 {
			state = TimeWait
		}
		table.open(0, tcp, packet.Endpoint{Addr: addr("198.51.100.7"), Port: port}, uint32(port%2), 80, 80, state)
	}
	active, inactive := make([]int, 2), make([]int, 2)
	table.Recount(active, inactive)
	if active[0] != 200 || active[1] != 200 || inactive[0] != 50 || inactive[1] != 50 {
		t.Errorf("active %v, inactive %v", active, inactive)
	}
	met, pieces := map[uint16]int{}, 0
	for from := Index(0); from != None; pieces++ {
		from = table.Walk(from, 100, func(i Index, r *Record) {
			met[r.Client().Port]++
			table.Remove(i)
		})
	}
	if len(met) != 500 || table.Len() != 0 || pieces != (minSlots+99)/100 {
		t.Errorf("met %d in %d pieces, %d left", len(met), pieces, table.Len())
	}
}

func TestNewRefusesWhatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		want   error
	}{
		{"no capacity", Config{}, ErrCapacity},
		{"negative capacity", Config{Capacity: -1}, ErrCapacity},
		{"more than an index can name", Config{Capacity: 1 << 31}, ErrCapacity},
		{"too little memory", Config{Capacity: 10, Memory: make([]byte, Bytes(10)-1)}, ErrMemory},
		{"no memory", Config{Capacity: 10, Memory: []byte{}}, ErrMemory},
		{"odd memory", Config{Capacity: 10, Memory: make([]byte, Bytes(10)+1)[1:]}, ErrMemory},
	} {
		if _, err := New(c.config); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestGivenMemoryIsCleared(t *testing.T) {
	mem := bytes.Repeat([]byte{0xff}, Bytes(10))
	table, err := New(Config{Capacity: 10, Memory: mem})
	if err != nil {
		t.Fatal(err)
	}
	if err := table.sound(0); err != nil || table.Len() != 0 {
		t.Errorf("%d connections: %v", table.Len(), err)
	}
	if err := table.Close(); err != nil {
		t.Error(err)
	}
}

func TestSeedsScatterDifferently(t *testing.T) {
	a, _ := New(Config{Capacity: 1, Seed: 1})
	b, _ := New(Config{Capacity: 1, Seed: 2})
	defer a.Close()
	defer b.Close()
	client := at("198.51.100.7:40000")
	if a.Hash(tcp, client) == b.Hash(tcp, client) || a.Hash(tcp, client) == a.Hash(udp, client) {
		t.Error("equal hashes")
	}
}

// Neighbouring clients, as traffic generators make them, must not crowd: the
// mean number of probes of a full table stays near that of a random hash.
func TestHashScattersNeighbours(t *testing.T) {
	for name, client := range map[string]func(int) packet.Endpoint{
		"addresses": func(i int) packet.Endpoint {
			return packet.Endpoint{Addr: packet.AddrFrom4(0x0a000000 + uint32(i)), Port: 1}
		},
		"ports": func(i int) packet.Endpoint {
			return packet.Endpoint{Addr: packet.AddrFrom4(uint32(i >> 16)), Port: uint16(i)}
		},
		"IPv6 hosts": func(i int) packet.Endpoint {
			return packet.Endpoint{Addr: packet.Addr{Hi: 1 << 61, Lo: uint64(i)}, Port: 1}
		},
		"IPv6 subnets": func(i int) packet.Endpoint { return packet.Endpoint{Addr: packet.Addr{Hi: uint64(i) << 16}, Port: 1} },
	} {
		const n = 100_000
		table := newTable(t, n)
		longest, total := 0, 0
		for k := range n {
			i, room := table.open(0, tcp, client(k), 0, 80, 80, Established)
			if room != OK {
				t.Fatalf("%s: room %v at %d", name, room, k)
			}
			probe := int(table.At(i).probe) + 1
			longest, total = max(longest, probe), total+probe
		}
		mean := float64(total) / n
		t.Logf("%s: mean %.2f probes, longest %d", name, mean, longest)
		if mean > 2.1 || longest > 50 {
			t.Errorf("%s: mean %.2f probes, longest %d", name, mean, longest)
		}
	}
}

func TestFastPathDoesNotAllocate(t *testing.T) {
	const n = 5000
	table := newTable(t, n)
	now := Tick(0)
	virtual, server := at("192.0.2.1:80"), at("10.0.0.11:80")
	k := 0
	if allocs := testing.AllocsPerRun(4*n, func() {
		client := packet.Endpoint{Addr: packet.AddrFrom4(0x0a000000 + uint32(k)), Port: 1}
		hash := table.Hash(tcp, client)
		table.Prefetch([]uint64{hash})
		i, room := table.Insert(now, hash, tcp, client, 0, 80, 80, SynRecv)
		if room != OK || table.Find(hash, tcp, client, virtual, ToServer) != i ||
			table.Find(hash, tcp, client, server, ToClient) != i {
			t.Fatal("lost")
		}
		if k%3 == 0 {
			table.Packet(i, now, ToServer, EventACK)
		}
		if k%5 == 0 {
			table.Packet(i, now, ToServer, EventRST)
		}
		if k%7 == 0 {
			table.Remove(i)
		}
		if k++; k%64 == 0 {
			now++
			table.Expire(now, 256)
			table.ClearGone()
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if table.Len() == 0 {
		t.Error("nothing happened")
	}
}
