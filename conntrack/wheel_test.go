package conntrack

import (
	"testing"

	"github.com/lvx-lb/lvx/packet"
)

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

func TestRefreshedConnectionOutlivesItsFirstDeadline(t *testing.T) {
	table := newTable(t, 100)
	still, _ := table.open(0, udp, at("198.51.100.7:1"), 0, 53, 53, UDP)
	fresh, _ := table.open(0, udp, at("198.51.100.7:2"), 0, 53, 53, UDP)
	name, other := table.Name(still), table.Name(fresh)
	for now := Tick(1); now <= 5999; now++ {
		if now == 2999 {
			table.Touch(fresh, now)
		}
		table.Expire(now, 100)
		if alive := table.Named(name) != None; alive != (now < 3000) {
			t.Fatalf("silent connection at tick %d: alive %v", now, alive)
		}
		if alive := table.Named(other) != None; alive != (now < 5999) {
			t.Fatalf("refreshed connection at tick %d: alive %v", now, alive)
		}
	}
}

func TestDeadlineThatComesNearerIsKept(t *testing.T) {
	table := newTable(t, 100)
	i, _ := table.open(0, tcp, at("198.51.100.7:1"), 0, 80, 80, Established)
	table.Packet(i, 100, ToClient, EventRST) // CLOSE: 10 s
	if table.Expire(199, 100); table.Len() != 1 {
		t.Fatal("gone before")
	}
	if table.Expire(200, 100); table.Len() != 0 {
		t.Fatal("still there")
	}
}

func TestASparedConnectionLivesOnByMinutes(t *testing.T) {
	table := newTable(t, 100)
	i, _ := table.open(0, udp, at("198.51.100.7:1"), 0, 53, 53, UDP)
	table.open(0, udp, at("198.51.100.7:2"), 0, 53, 53, UDP)
	asked := 0
	table.Spare = func(at Index, r *Record) bool {
		if at == i {
			asked++
		}
		return at == i && r.Client().Port == 1 && asked < 3
	}
	for _, step := range []struct {
		now   Tick
		alive int
	}{{2999, 2}, {3000, 1}, {3599, 1}, {3600, 1}, {4199, 1}, {4200, 0}} {
		if table.Expire(step.now, 100); table.Len() != step.alive {
			t.Fatalf("%d alive at tick %d", table.Len(), step.now)
		}
	}
}

func TestAnIdleConnectionLivesOnForAsLongAsItIsTold(t *testing.T) {
	table := newTable(t, 100)
	idle, _ := table.open(0, tcp, at("198.51.100.7:1"), 0, 80, 80, Established)
	table.open(0, tcp, at("198.51.100.7:2"), 0, 80, 80, Established)
	table.open(0, tcp, at("198.51.100.7:3"), 0, 80, 80, FinWait)
	name, asked := table.Name(idle), 0
	table.Idle = func(i Index, _ *Record) Tick {
		asked++
		if i == idle && asked < 4 {
			return 50
		}
		return 0
	}
	for now := Tick(0); now < 9200; now++ {
		table.Expire(now, 100)
		if alive := table.Named(name) != None; alive != (now < 9100) {
			t.Fatalf("tick %d: alive %v", now, alive)
		}
	}
	if asked != 4 || table.Len() != 0 {
		t.Errorf("asked %d times, %d left", asked, table.Len())
	}
}

func TestAnIdleConnectionHasItsOldTimeWithTheNextPacket(t *testing.T) {
	table := newTable(t, 100)
	i, _ := table.open(0, tcp, at("198.51.100.7:1"), 0, 80, 80, Established)
	table.Idle = func(Index, *Record) Tick { return 50 }
	table.Expire(9000, 100)
	if left := table.At(i).Expires(9000); left != 50 {
		t.Errorf("%d ticks left", left)
	}
	table.Packet(i, 9010, ToServer, EventACK)
	if left := table.At(i).Expires(9010); left != 9000 {
		t.Errorf("%d ticks left", left)
	}
}

func TestDeadlineBeyondTheWheelIsKept(t *testing.T) {
	table := newTable(t, 100)
	far := DefaultTimeouts()
	far[UDP] = 5*spokes + 17
	table.SetTimeouts(far)
	table.open(0, udp, at("198.51.100.7:1"), 0, 53, 53, UDP)
	for now := Tick(0); now < far[UDP]; now += 1000 {
		table.Expire(now, 100)
	}
	if table.Expire(far[UDP]-1, 100); table.Len() != 1 {
		t.Fatal("gone before")
	}
	if table.Expire(far[UDP], 100); table.Len() != 0 {
		t.Fatal("still there")
	}
}

func TestClockMayWrapAndJump(t *testing.T) {
	for _, start := range []Tick{0, 1 << 31, ^Tick(0) - 100} {
		table := newTable(t, 100)
		table.open(start, udp, at("198.51.100.7:1"), 0, 53, 53, UDP)
		if table.Expire(start+2999, 100); table.Len() != 1 {
			t.Fatalf("from %d: gone before", start)
		}
		table.open(start+2999, udp, at("198.51.100.7:2"), 0, 53, 53, UDP)
		if table.Expire(start+10*spokes, 100); table.Len() != 0 {
			t.Fatalf("from %d: still there", start)
		}
	}
}

func TestChangedTimeoutsWaitForTheNextPacket(t *testing.T) {
	table := newTable(t, 100)
	i, _ := table.open(0, udp, at("198.51.100.7:1"), 0, 53, 53, UDP)
	short := DefaultTimeouts()
	short[UDP] = 5 * Second
	table.SetTimeouts(short)
	if left := table.At(i).Expires(10); left != 2990 {
		t.Errorf("%d ticks left, want 2990", left)
	}
	table.Touch(i, 10)
	if left := table.At(i).Expires(10); left != 50 {
		t.Errorf("%d ticks left, want 50", left)
	}
	if table.Expire(60, 100); table.Len() != 0 {
		t.Error("still there")
	}
}

func TestExpireKeepsItsBudgetAndGoneItsRoom(t *testing.T) {
	const n = 2 * goneRoom
	table := newTable(t, n)
	for k := range n {
		table.open(0, udp, packet.Endpoint{Addr: packet.AddrFrom4(uint32(k)), Port: 1}, 0, 53, 53, UDP)
	}
	if visited := table.Expire(3000, 10); visited != 10 || table.Len() != n-10 || len(table.Gone()) != 10 {
		t.Fatalf("visited %d, %d left, %d gone", visited, table.Len(), len(table.Gone()))
	}
	for ended := 0; table.Len() > 0; {
		table.Expire(3000, n)
		ended += len(table.Gone())
		if len(table.Gone()) > goneStop || ended != n-table.Len() {
			t.Fatalf("%d gone at once, %d in all, %d left", len(table.Gone()), ended, table.Len())
		}
		table.ClearGone()
	}
}
