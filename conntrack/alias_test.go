package conntrack

import (
	"math/rand/v2"
	"testing"

	"github.com/lvx-lb/lvx/packet"
)

// answerOf returns the connection that an answer to port of a client finds.
func (t *Table) answerOf(proto uint8, client packet.Endpoint, port uint16, real packet.Endpoint) Index {
	client.Port = port
	if i := t.find(proto, client, real, ToClient); i != None {
		return i
	}
	return t.FindAlias(t.Hash(proto, client), proto, client, real)
}

// A small world, so that client ports meet: whatever opens and ends, no two
// connections have one reply flow, and each is found by its own.
func TestEveryAnswerFindsItsConnection(t *testing.T) {
	for name, owns := range map[string]func(packet.Endpoint) bool{
		"one worker": nil, "one of three": func(e packet.Endpoint) bool { return e.Port%3 == 1 },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(5) {
				table := newTable(t, 300+int(seed)*100)
				table.SetAliases(true)
				table.Owns = owns
				random, open := rand.New(rand.NewPCG(seed, 1)), map[Name]uint16{}
				for now := Tick(0); now < 4000; now++ {
					openSome(t, table, random, now, open)
					if now%50 == 0 {
						checkAnswers(t, table, open)
					}
				}
				table.Expire(4000+2*spokes, 1<<30)
				if table.count != 0 || table.aliases != 0 {
					t.Errorf("%d records, %d aliases are left", table.count, table.aliases)
				}
			}
		})
	}
}

// openSome opens, ends and ages connections. What Names of open promises is
// the port of the client.
func openSome(t *testing.T, table *Table, random *rand.Rand, now Tick, open map[Name]uint16) {
	server := uint32(random.IntN(len(pairs)))
	client := packet.Endpoint{Addr: packet.AddrFrom4(0xc6336401 + random.Uint32N(3)), Port: uint16(1000 + 3*random.IntN(40))}
	if !pairs[server].Real.Is4() {
		client.Addr = packet.Addr{Hi: 0x20010db8 << 32, Lo: random.Uint64N(3)}
	}
	proto, state := uint8(udp), UDP
	if random.IntN(2) == 0 {
		proto, state = tcp, []State{SynRecv, Established, TimeWait}[random.IntN(3)]
	}
	i, room := table.open(now, proto, client, server, uint16(random.IntN(3)), 80, state)
	if room == OK {
		open[table.Name(i)] = client.Port
	}
	if room == NoPort || room == EndpointFull {
		t.Fatalf("room %v", room)
	}
	for name := range open {
		switch at := table.Named(name); {
		case at == None:
			delete(open, name)
			continue
		case random.IntN(3) == 0:
			table.Remove(at)
		}
		break
	}
	if random.IntN(20) == 0 {
		table.Expire(now, 100)
	}
	table.ClearGone()
}

func checkAnswers(t *testing.T, table *Table, open map[Name]uint16) {
	t.Helper()
	if err := table.sound(table.wheel.next); err != nil {
		t.Fatal(err)
	}
	walked := 0
	table.Walk(0, table.Slots(), func(i Index, r *Record) {
		walked++
		client, real := r.Client(), packet.Endpoint{Addr: table.Pairs[r.Server].Real, Port: r.RPort}
		port := table.PortToServer(i)
		if got := table.answerOf(r.Proto(), client, port, real); got != i {
			t.Fatalf("an answer to port %d finds %d, want %d (%+v)", port, got, i, *r)
		}
		if want := open[table.Name(i)]; client.Port != want || (port != want) != (r.Flags&Aliased != 0) {
			t.Fatalf("client port %d and %d there, want %d: %+v", client.Port, port, want, *r)
		}
		if port != client.Port && table.Owns != nil && !table.Owns(packet.Endpoint{Addr: client.Addr, Port: port}) {
			t.Fatalf("port %d is another worker's", port)
		}
		if (port < firstOpenPort) != (client.Port < firstOpenPort) {
			t.Fatalf("port %d stands for %d", port, client.Port)
		}
	})
	if walked != table.Len() {
		t.Fatalf("walked over %d of %d connections", walked, table.Len())
	}
}

func TestAConnectionBeginsAgainWithTheSamePort(t *testing.T) {
	table := newTable(t, 100)
	table.SetAliases(true)
	client := at("198.51.100.7:40000")
	table.open(0, tcp, client, 0, 80, 80, Established)
	before, _ := table.open(0, tcp, client, 1, 80, 80, TimeWait)
	port := table.PortToServer(before)
	after, _ := table.open(1, tcp, client, 1, 80, 80, SynRecv)
	if got := table.PortToServer(after); got != port || port == client.Port || table.Len() != 2 {
		t.Errorf("port %d, then %d, %d connections", port, got, table.Len())
	}
}

func TestWhenNoPortIsFreeTheNewcomerIsRefused(t *testing.T) {
	table := newTable(t, 100)
	table.SetAliases(true)
	table.Owns = func(e packet.Endpoint) bool { return e.Port%512 == 0 }
	client := at("198.51.100.7:512")
	table.open(0, udp, client, 0, 80, 80, UDP)
	if i, room := table.open(0, udp, client, 1, 80, 80, UDP); i != None || room != NoPort {
		t.Errorf("%v, room %v", i, room)
	}
	if table.Len() != 1 || len(table.Gone()) != 0 || table.answerOf(udp, client, 512, at("10.0.0.11:80")) == None {
		t.Errorf("%d connections, gone %v", table.Len(), table.Gone())
	}
}

// The deviation may be switched while there are connections.
func TestAliasesThatAreThereGoOnWithoutNewOnes(t *testing.T) {
	table := newTable(t, 100)
	table.SetAliases(true)
	client, real := at("198.51.100.7:40000"), at("10.0.0.11:80")
	first, _ := table.open(0, udp, client, 0, 80, 80, UDP)
	second, _ := table.open(0, udp, client, 1, 80, 80, UDP)
	table.SetAliases(false)
	third, _ := table.open(0, udp, client, 0, 81, 80, UDP)
	if got := table.answerOf(udp, client, table.PortToServer(second), real); got != second {
		t.Errorf("an answer to the alias finds %d, want %d", got, second)
	}
	for _, want := range []Index{third, first} {
		if got := table.answerOf(udp, client, client.Port, real); got != want {
			t.Errorf("an answer finds %d, want %d", got, want)
		}
		table.Remove(want)
	}
	table.SetAliases(true)
	if i, _ := table.open(0, udp, client, 0, 80, 80, UDP); table.PortToServer(i) != client.Port {
		t.Error("an alias without need")
	}
}
