package conntrack

import (
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
// addresses, 2 is another real server, 3 and 4 are the like in IPv6.
var pairs = []Pair{
	{addr("192.0.2.1"), addr("10.0.0.11")},
	{addr("192.0.2.2"), addr("10.0.0.11")},
	{addr("192.0.2.1"), addr("10.0.0.12")},
	{addr("2001:db8::1"), addr("fd00::11")},
	{addr("2001:db8::2"), addr("fd00::11")},
}

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
			if gone := table.Gone(); len(gone) != 1 || gone[0] != (Gone{Server: c.server, State: SynRecv}) {
				t.Errorf("Gone: %v", gone)
			}
		})
	}
}

func TestConnectionEndsAtItsDeadline(t *testing.T) {
	table := newTable(t, 100)
	i, _ := table.open(1000, tcp, at("198.51.100.7:40000"), 0, 80, 8080, SynRecv)
	if old, next := table.Packet(i, 1010, ToServer, EventACK); old != SynRecv || next != Established {
		t.Fatalf("%v → %v", old, next)
	}
	if table.Expire(1010+9000-1, 100); table.Len() != 1 {
		t.Fatal("gone a tick before its deadline")
	}
	if table.Expire(1010+9000, 100); table.Len() != 0 {
		t.Fatal("still there at its deadline")
	}
}
