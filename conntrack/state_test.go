package conntrack

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
)

// The tables of IPVS: a row an event, a column a current state. Package
// dataplane drives them packet by packet.
var (
	normalTable = tableOf("normal")
	secureTable = tableOf("secure")
	sctpTable   = tableOf("sctp")
)

func tableOf(name string) string {
	text, err := os.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		panic(err)
	}
	return string(text)
}

var (
	tcpEvents  = map[string]Event{"syn:": EventSYN, "fin:": EventFIN, "ack:": EventACK, "rst:": EventRST}
	sctpEvents = map[string]Event{"d": EventData, "i": EventInit, "ia": EventInitAck, "ce": EventCookieEcho, "ca": EventCookieAck,
		"s": EventShutdown, "sa": EventShutdownAck, "sc": EventShutdownComplete, "err": EventError, "ab": EventAbort}
	sctpStates = map[string]State{"NO": NoState, "I1": SCTPInit1, "IN": SCTPInit, "CS": SCTPCookieSent, "CR": SCTPCookieReplied,
		"CW": SCTPCookieWait, "CO": SCTPCookie, "CE": SCTPCookieEchoed, "ES": SCTPEstablished, "SS": SCTPShutdownSent,
		"SR": SCTPShutdownReceived, "SA": SCTPShutdownAckSent, "RJ": SCTPRejected, "CL": SCTPClosed}
)

var shortStates = map[string]State{"NO": NoState, "ES": Established, "SS": SynSent, "SR": SynRecv, "FW": FinWait,
	"TW": TimeWait, "CL": Close, "CW": CloseWait, "LA": LastAck, "LI": Listen, "SA": SynAck}

func TestTransitionsAreThoseOfTheTablesOfIPVS(t *testing.T) {
	for _, c := range []struct {
		name, table string
		next        func(State, Direction, Event) State
		states      map[string]State
		events      map[string]Event
		cells       int
	}{
		{"normal", normalTable, State.Next, shortStates, tcpEvents, 2 * 4 * 11},
		{"secure", secureTable, State.NextSecure, shortStates, tcpEvents, 2 * 4 * 11},
		{"SCTP", sctpTable, State.Next, sctpStates, sctpEvents, 2 * 10 * 14},
		{"SCTP, secure", sctpTable, State.NextSecure, sctpStates, sctpEvents, 2 * 10 * 14},
	} {
		cells := 0
		eachCell(c.table, func(dir Direction, event, from, to string) {
			cells++
			s, want := c.states[from], c.states[to]
			if got := c.next(s, dir, c.events[event]); got != want {
				t.Errorf("%s, direction %d, %s in %v: %v, want %v", c.name, dir, event, s, got, want)
			}
		})
		if cells != c.cells {
			t.Errorf("%s: compared %d cells", c.name, cells)
		}
	}
}

// eachCell reads a table: a row an event, a column a current state.
func eachCell(table string, f func(dir Direction, event, from, to string)) {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	columns := strings.Fields(lines[0])
	dir := ToServer
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		switch fields[0] {
		case "ToServer":
		case "ToClient":
			dir = ToClient
		default:
			for n, to := range fields[1:] {
				f(dir, fields[0], columns[n], to)
			}
		}
	}
}

func TestATableFollowsTheRulesThatItWasTold(t *testing.T) {
	for _, table := range []struct {
		secure bool
		text   string
	}{{false, normalTable}, {true, secureTable}} {
		conns := newTable(t, 100)
		conns.SetSecure(table.secure)
		eachCell(table.text, func(dir Direction, event, from, to string) {
			i, _ := conns.open(0, tcp, at("198.51.100.7:40000"), 0, 80, 8080, shortStates[from])
			if old, next := conns.Packet(i, 1, dir, tcpEvents[event]); old != shortStates[from] || next != shortStates[to] {
				t.Errorf("secure %v, direction %d, %s: %v → %v", table.secure, dir, event, old, next)
			}
			conns.Remove(i)
			conns.ClearGone()
		})
		conns.SetSecure(false)
		i, _ := conns.open(0, tcp, at("198.51.100.7:40000"), 0, 80, 8080, SynRecv)
		if _, next := conns.Packet(i, 1, ToServer, EventACK); next != Established {
			t.Errorf("switched back: %v", next)
		}
	}
}

func TestChunksOfSCTPAreEvents(t *testing.T) {
	for chunk := range 256 {
		want := EventData
		for name, e := range map[int]Event{1: EventInit, 2: EventInitAck, 6: EventAbort, 7: EventShutdown, 8: EventShutdownAck,
			9: EventError, 10: EventCookieEcho, 11: EventCookieAck, 14: EventShutdownComplete, 255: EventEmpty} {
			if chunk == name {
				want = e
			}
		}
		if got := EventOfChunk(uint8(chunk)); got != want {
			t.Errorf("chunk %d: %d, want %d", chunk, got, want)
		}
	}
	for _, s := range sctpStates {
		for _, dir := range []Direction{ToServer, ToClient} {
			if got := s.Next(dir, EventEmpty); got != s {
				t.Errorf("no chunk in %v: %v", s, got)
			}
		}
	}
}

func TestALifeIsHastenedUntilTheNextPacket(t *testing.T) {
	table := newTable(t, 100)
	i, _ := table.open(0, 17, at("198.51.100.7:40000"), 0, 53, 53, UDP)
	table.Hasten(i, 3*Second)
	if left := table.At(i).Expires(0); left != 3*Second {
		t.Errorf("%d ticks left", left)
	}
	table.Touch(i, Second)
	if left := table.At(i).Expires(Second); left != 300*Second {
		t.Errorf("%d ticks left after a packet", left)
	}
	table.Hasten(i, 3*Second)
	for now := Second; now < 10*Second; now++ {
		table.Expire(now, 10)
		if table.Len() == 0 {
			if now != 4*Second {
				t.Errorf("gone at %d", now)
			}
			return
		}
	}
	t.Error("never gone")
}

func TestSegmentWithoutFlagsClosesTCPAndNothingMovesUDP(t *testing.T) {
	for _, dir := range []Direction{ToServer, ToClient} {
		for s := NoState; s < UDP; s++ {
			if got := s.Next(dir, EventNone); got != Close {
				t.Errorf("direction %d, no flags in %v: %v", dir, s, got)
			}
		}
		for e := EventSYN; e <= EventNone; e++ {
			if got := UDP.Next(dir, e); got != UDP {
				t.Errorf("direction %d, event %d in UDP: %v", dir, e, got)
			}
		}
	}
}

func TestFirstFlagInOrderDecidesTheEvent(t *testing.T) {
	const fin, syn, rst, psh, ack, urg = 1, 2, 4, 8, 16, 32
	for _, c := range []struct {
		flags uint8
		want  Event
	}{
		{0, EventNone}, {psh | urg, EventNone}, {0xc0, EventNone},
		{ack, EventACK}, {psh | ack, EventACK},
		{fin, EventFIN}, {fin | ack, EventFIN}, {fin | psh | urg, EventFIN},
		{syn, EventSYN}, {syn | ack, EventSYN}, {syn | fin, EventSYN}, {syn | 0xc0, EventSYN},
		{rst, EventRST}, {rst | ack, EventRST}, {rst | syn | fin | ack, EventRST}, {0xff, EventRST},
	} {
		if got := EventOf(c.flags); got != c.want {
			t.Errorf("flags %#02x: %d, want %d", c.flags, got, c.want)
		}
	}
}

// Recorded from the kernel: a connection brought into a state, one segment,
// and what ipvsadm -lnc showed then, less than a second later.
func TestStatesAndTimeoutsAsRecorded(t *testing.T) {
	f, err := os.Open("testdata/tcp-state-matrix.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names := map[string]State{}
	for s := NoState; s <= SynAck; s++ {
		names[s.String()] = s
	}
	flags := map[string]uint8{"S": 0x02, "A": 0x10, "SA": 0x12, "FA": 0x11, "R": 0x04, "PA": 0x18}
	directions := map[string]Direction{"in": ToServer, "out": ToClient}
	table := newTable(t, 100)
	cases := 0
	for lines := bufio.NewScanner(f); lines.Scan(); cases++ {
		clean := strings.NewReplacer("[", "", "]", "", ":", " ").Replace(lines.Text())
		var path, from, dir, segment, to string
		var min0, sec0, min, sec int
		if _, err := fmt.Sscanf(clean, "%s %s %d %d + %s %s -> %s %d %d", &path, &from, &min0, &sec0,
			&dir, &segment, &to, &min, &sec); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		i, _ := table.open(0, tcp, at("198.51.100.7:40000"), 0, 80, 8080, names[from])
		now := 7 * Second
		old, next := table.Packet(i, now, directions[dir], EventOf(flags[segment]))
		if old != names[from] || next != names[to] {
			t.Errorf("%s: %v → %v", lines.Text(), old, next)
		}
		if left := table.At(i).Expires(now + 1); left/Second != Tick(min*60+sec) {
			t.Errorf("%s: %d ticks left", lines.Text(), left)
		}
	}
	if cases < 80 {
		t.Errorf("only %d cases", cases)
	}
}

func TestActiveAreTheHalfOpenAndTheEstablished(t *testing.T) {
	for s := NoState; s < NumStates; s++ {
		var active, halfOpen bool
		switch s {
		case Established, SCTPEstablished:
			active = true
		case SynSent, SynRecv, SynAck:
			active, halfOpen = true, true
		case NoState, OnePacket, SCTPInit1, SCTPInit, SCTPCookieSent, SCTPCookieReplied, SCTPCookieWait, SCTPCookie, SCTPCookieEchoed:
			halfOpen = true
		}
		if s.Active() != active || s.HalfOpen() != halfOpen {
			t.Errorf("%v: active %v, half-open %v", s, s.Active(), s.HalfOpen())
		}
	}
}

func TestStatesAreNamedAsIpvsadmPrintsThem(t *testing.T) {
	var names []string
	for s := NoState; s <= NumStates; s++ {
		names = append(names, s.String())
	}
	want := "NONE ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN SYNACK UDP ONE_PACKET " +
		"INIT1 INIT C-SENT C-REPLIED C-WAIT COOKIE C-ECHOED ESTABLISHED S-SENT S-RECEIVED S-ACK-SENT REJECTED CLOSED BUG!"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
