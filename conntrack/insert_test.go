package conntrack

import (
	"testing"

	"github.com/lvx-lb/lvx/packet"
)

func TestFullTableGivesUpItsOldestHalfOpen(t *testing.T) {
	table := newTable(t, 3)
	first, _ := table.open(0, tcp, at("198.51.100.7:1"), 0, 80, 80, SynRecv)
	second, _ := table.open(1, tcp, at("198.51.100.7:2"), 1, 80, 80, SynRecv)
	table.open(2, tcp, at("198.51.100.7:3"), 2, 80, 80, SynRecv)
	table.Packet(first, 3, ToServer, EventACK)
	name := table.Name(second)
	if _, room := table.open(4, tcp, at("198.51.100.7:4"), 0, 80, 80, SynRecv); room != OK {
		t.Fatalf("room %v", room)
	}
	if gone := table.Gone(); len(gone) != 1 || gone[0] != (Gone{Index: second, Server: 1, State: SynRecv}) {
		t.Errorf("gone %v", gone)
	}
	if table.Named(name) != None || table.Len() != 3 {
		t.Errorf("%d connections", table.Len())
	}
}

func TestFullTableOfEstablishedTakesNobody(t *testing.T) {
	table := newTable(t, 3)
	for port := range uint16(3) {
		table.open(0, tcp, packet.Endpoint{Addr: addr("198.51.100.7"), Port: port}, 0, 80, 80, Established)
	}
	if i, room := table.open(1, tcp, at("198.51.100.7:9"), 0, 80, 80, SynRecv); i != None || room != Full {
		t.Errorf("%v, room %v", i, room)
	}
	if table.Len() != 3 || len(table.Gone()) != 0 {
		t.Errorf("%d connections, gone %v", table.Len(), table.Gone())
	}
}

// A busy director: most of what opened a minute ago is established now, but
// still linked among the half-open.
func TestHalfOpenIsFoundBehindACrowdOfEstablished(t *testing.T) {
	const n = 1000
	table := newTable(t, n)
	for port := range uint16(n) {
		i, _ := table.open(0, tcp, packet.Endpoint{Addr: addr("198.51.100.7"), Port: port}, 0, 80, 80, SynRecv)
		if port < n-1 {
			table.Packet(i, 1, ToServer, EventACK)
		}
	}
	tries := 0
	for room := Full; room != OK; tries++ {
		if _, room = table.open(2, tcp, at("198.51.100.9:1"), 0, 80, 80, SynRecv); tries > n/60+1 {
			t.Fatal("not found")
		}
	}
	if gone := table.Gone(); len(gone) != 1 || gone[0].State != SynRecv {
		t.Errorf("gone %v", gone)
	}
	t.Logf("found at try %d", tries)
}

func TestClientEndpointHoldsSixtyFour(t *testing.T) {
	table := newTable(t, 1000)
	client := at("198.51.100.7:40000")
	var indexes []Index
	for port := range uint16(probes) {
		i, room := table.open(Tick(port), tcp, client, 0, port, 80, Established)
		if room != OK {
			t.Fatalf("connection %d: room %v", port, room)
		}
		indexes = append(indexes, i)
	}
	if _, room := table.open(100, tcp, client, 0, 1000, 80, SynRecv); room != EndpointFull {
		t.Errorf("all established: room %v", room)
	}
	table.Packet(indexes[20], 101, ToServer, EventFIN)
	table.Packet(indexes[10], 102, ToServer, EventFIN)
	if i, room := table.open(103, tcp, client, 0, 1000, 80, SynRecv); room != OK || i != indexes[20] {
		t.Errorf("room %v at %d, want the place of the longest closing, %d", room, i, indexes[20])
	}
	if gone := table.Gone(); len(gone) != 1 || gone[0].State != CloseWait {
		t.Errorf("gone %v", gone)
	}
	if _, room := table.open(104, tcp, at("198.51.100.7:40001"), 0, 1, 80, SynRecv); room != OK {
		t.Errorf("another endpoint: room %v", room)
	}
}

func TestSecondInsertOfAFlowReplacesTheFirst(t *testing.T) {
	table := newTable(t, 10)
	client := at("198.51.100.7:40000")
	first, _ := table.open(0, tcp, client, 0, 80, 80, TimeWait)
	i, _ := table.open(1, tcp, client, 2, 80, 80, SynRecv)
	if table.Len() != 1 || table.find(tcp, client, at("192.0.2.1:80"), ToServer) != i {
		t.Errorf("%d connections", table.Len())
	}
	if gone := table.Gone(); len(gone) != 1 || gone[0] != (Gone{Index: first, State: TimeWait}) {
		t.Errorf("gone %v", gone)
	}
}

func TestNewestOfOneReplyFlowAnswers(t *testing.T) {
	table := newTable(t, 100)
	client, server := at("198.51.100.7:40000"), at("10.0.0.11:8080")
	reply := func() Index { return table.find(tcp, client, server, ToClient) }
	a, _ := table.open(0, tcp, client, 0, 80, 8080, Established)
	b, _ := table.open(0, tcp, client, 0, 81, 8080, Established)
	c, _ := table.open(0, tcp, client, 1, 80, 8080, Established)
	apart, _ := table.open(0, tcp, client, 2, 80, 8080, Established)
	if reply() != c {
		t.Errorf("of three: %d, want %d", reply(), c)
	}
	if table.find(tcp, client, at("192.0.2.1:80"), ToServer) != apart {
		t.Error("the same virtual endpoint did not go to the newest")
	}
	for _, step := range []struct {
		remove, want Index
	}{{a, c}, {c, b}, {b, None}} {
		table.Remove(step.remove)
		if got := reply(); got != step.want {
			t.Errorf("after %d is gone: %d, want %d", step.remove, got, step.want)
		}
	}
}

func TestIPv6ClientsWithOneKeyWordAreApart(t *testing.T) {
	table := newTable(t, 100)
	const hash = 42
	virtual := at("[2001:db8::1]:80")
	clients := []packet.Endpoint{at("[2001:db8:9::7]:40000"), at("[2001:db8:9::8]:40000")}
	var indexes []Index
	for _, c := range clients {
		i, _ := table.Insert(0, hash, tcp, c, 3, 80, 80, SynRecv)
		indexes = append(indexes, i)
	}
	for n, c := range clients {
		if got := table.Find(hash, tcp, c, virtual, ToServer); got != indexes[n] {
			t.Errorf("%v: %d, want %d", c.Netip(), got, indexes[n])
		}
	}
	if got := table.Find(hash, tcp, at("[2001:db8:9::9]:40000"), virtual, ToServer); got != None {
		t.Errorf("a stranger finds %d", got)
	}
}

// What opens no connection awaits an answer of each server that it was sent
// to, and steers no request.
func TestOnePacketIsFoundByItsAnswersOnly(t *testing.T) {
	table := newTable(t, 100)
	client := at("198.51.100.7:40000")
	table.open(0, udp, client, 0, 53, 5353, OnePacket)
	b, _ := table.open(0, udp, client, 2, 53, 5353, OnePacket)
	a, _ := table.open(1, udp, client, 0, 53, 5353, OnePacket)
	if table.Len() != 2 {
		t.Errorf("%d in all", table.Len())
	}
	for server, want := range map[uint32]Index{0: a, 2: b} {
		real := packet.Endpoint{Addr: pairs[server].Real, Port: 5353}
		if got := table.find(udp, client, real, ToClient); got != want {
			t.Errorf("an answer of server %d finds %d, want %d", server, got, want)
		}
		virtual := packet.Endpoint{Addr: pairs[server].Virtual, Port: 53}
		if got := table.find(udp, client, virtual, ToServer); got != None {
			t.Errorf("a request finds %d", got)
		}
	}
	conn, _ := table.open(2, udp, client, 0, 53, 5353, UDP)
	if got := table.find(udp, client, at("192.0.2.1:53"), ToServer); got != conn || table.Len() != 3 {
		t.Errorf("a connection beside them: found at %d, %d in all", got, table.Len())
	}
}
