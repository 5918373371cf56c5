package conntrack

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
)

// The normal table of IPVS, a row an event, a column a current state.
const normalTable = `
     NO ES SS SR FW TW CL CW LA LI SA
ToServer
syn: SR ES ES SR SR SR SR SR SR SR SR
fin: CL CW SS TW TW TW CL CW LA LI TW
ack: ES ES SS ES FW TW CL CW CL LI ES
rst: CL CL CL SR CL CL CL CL LA LI SR
ToClient
syn: SS ES SS SR SS SS SS SS SS LI SR
fin: TW FW SS TW FW TW CL TW LA LI TW
ack: ES ES SS ES FW TW CL CW LA ES ES
rst: CL CL SS CL CL TW CL CL CL CL CL
`

var shortStates = map[string]State{"NO": NoState, "ES": Established, "SS": SynSent, "SR": SynRecv, "FW": FinWait,
	"TW": TimeWait, "CL": Close, "CW": CloseWait, "LA": LastAck, "LI": Listen, "SA": SynAck}

func TestTransitionsAreThoseOfTheNormalTable(t *testing.T) {
	events := map[string]Event{"syn:": EventSYN, "fin:": EventFIN, "ack:": EventACK, "rst:": EventRST}
	directions := map[string]Direction{"ToServer": ToServer, "ToClient": ToClient}
	lines := strings.Split(strings.TrimSpace(normalTable), "\n")
	columns := strings.Fields(lines[0])
	var dir Direction
	cells := 0
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if d, ok := directions[fields[0]]; ok {
			dir = d
			continue
		}
		for n, name := range fields[1:] {
			from, want := shortStates[columns[n]], shortStates[name]
			if got := from.Next(dir, events[fields[0]]); got != want {
				t.Errorf("direction %d, %v in %v: %v, want %v", dir, fields[0], from, got, want)
			}
			cells++
		}
	}
	if cells != 2*4*11 {
		t.Errorf("compared %d cells", cells)
	}
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
	for s := NoState; s < NumStates; s++ {
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
		case Established:
			active = true
		case SynSent, SynRecv, SynAck:
			active, halfOpen = true, true
		case NoState, OnePacket:
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
	want := "NONE ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN SYNACK UDP ONE_PACKET BUG!"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
