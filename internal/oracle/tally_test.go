package oracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/packet"
)

// tally counts what was compared, so that a run shows what it has covered.
type tally struct {
	scenarios, tries, packets, frames, lists, conns int
	kinds                                           map[string]int // events as their author names them
	cells                                           map[string]int // direction, state and event of TCP packets
	allowed                                         map[string]int
}

func newTally() *tally {
	return &tally{kinds: map[string]int{}, cells: map[string]int{}, allowed: map[string]int{}}
}

var eventNames = map[conntrack.Event]string{
	conntrack.EventSYN: "SYN", conntrack.EventFIN: "FIN", conntrack.EventACK: "ACK", conntrack.EventRST: "RST", conntrack.EventNone: "none",
}

// note counts a step before lvx takes it.
func (t *tally) note(x *twin, s *record.Step) {
	t.kinds[s.Kind]++
	t.packets += len(s.Frames)
	if len(s.Frames) != 1 {
		return
	}
	var p packet.Packet
	if packet.Parse(slices.Clone(s.Frames[0]), &p) != packet.OK || p.Proto != packet.TCP && p.Proto != packet.SCTP || !p.HasPorts {
		return
	}
	state, dir := x.state(s.Frames[0])
	switch {
	case dir == conntrack.ToServer:
		state = "in  " + state
	case dir == conntrack.ToClient:
		state = "out " + state
	default:
		state = "(no connection)"
	}
	event := "TCP  " + state + " " + eventNames[conntrack.EventOf(p.TCPFlags)]
	if p.Proto == packet.SCTP {
		event = "SCTP " + state + " " + chunkName(p.Chunk)
	}
	t.cells[event]++
}

func chunkName(n uint8) string {
	for name, number := range chunks {
		if number == n+1 {
			return name
		}
	}
	return "none"
}

func (t *tally) String() string {
	var text strings.Builder
	text.WriteString(t.sum())
	for _, part := range []struct {
		name   string
		counts map[string]int
	}{{"events", t.kinds}, {"packets by state", t.cells}} {
		fmt.Fprintf(&text, "%s:\n", part.name)
		for _, name := range slices.Sorted(maps.Keys(part.counts)) {
			fmt.Fprintf(&text, "  %6d %s\n", part.counts[name], name)
		}
	}
	return text.String() + t.allowances()
}

func (t *tally) sum() string {
	return fmt.Sprintf("%d scenarios (%d played again, a step was late), %d packets in, %d frames, %d lists with %d connections compared\n",
		t.scenarios, t.tries-t.scenarios, t.packets, t.frames, t.lists, t.conns)
}

func (t *tally) allowances() string {
	text := "allowed differences:\n"
	for _, a := range allowances {
		text += fmt.Sprintf("  %6d %s: %s\n", t.allowed[a.name], a.name, a.reason)
	}
	return text
}
