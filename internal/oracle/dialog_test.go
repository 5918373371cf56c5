package oracle

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/packet"
)

// dialog is a control connection of FTP as its two ends count it.
type dialog struct {
	client, virtual, real netip.AddrPort
	ends                  [2]end // the client's, the server's
}

// end is what one end of a connection knows.
type end struct {
	next  uint32 // its next byte
	heard uint32 // the next byte of the other one
	last  probe  // that it sent
}

// The ends.
const (
	ofClient = iota
	ofServer
)

func newDialog(client, virtual, real netip.AddrPort) *dialog {
	return &dialog{client, virtual, real, [2]end{{next: 1000, heard: 5000}, {next: 5000, heard: 1000}}}
}

// other is what somebody is to hear instead of what is told: <TOLD=HEARD>.
var other = regexp.MustCompile(`<([^<>=]*)=([^<>=]*)>`)

// says lets one end say a text, or only send flags.
func (d *dialog) says(by int, flags, text string) *probe {
	told, heard := other.ReplaceAllString(text, "$1"), other.ReplaceAllString(text, "$2")
	me, you := &d.ends[by], &d.ends[1-by]
	me.last = newProbe(protoTCP, d.client, d.virtual)
	if by == ofServer {
		me.last = newProbe(protoTCP, d.real, d.client)
	}
	me.last.flags, me.last.seq, me.last.data = flags, me.next, []byte(told)
	if strings.Contains(flags, "A") {
		me.last.ack = me.heard
	}
	counted := uint32(0)
	if strings.ContainsAny(flags, "SF") {
		counted = 1
	}
	me.next += uint32(len(told)) + counted
	you.heard += uint32(len(heard)) + counted
	return &me.last
}

// opens is how the connection begins.
func (d *dialog) opens() []*probe {
	var all []*probe
	for _, next := range []struct {
		by    int
		flags string
	}{{ofClient, "S"}, {ofServer, "SA"}, {ofClient, "A"}} {
		p := *d.says(next.by, next.flags, "")
		all = append(all, &p)
	}
	return all
}

// dialogSteps reads a line about a control connection of FTP:
//
//	dialog NAME CLIENT VIRTUAL REAL
//	NAME client|server say TEXT
//	NAME client|server part TEXT
//	NAME client|server send FLAGS
//	NAME client|server again
//
// It returns nil for other lines.
func dialogSteps(all map[string]*dialog, words []string) (steps []record.Step, err error) {
	if words[0] == "dialog" && len(words) == 5 {
		d := newDialog(endpoint(words[2]), endpoint(words[3]), endpoint(words[4]))
		all[words[1]] = d
		for _, p := range d.opens() {
			steps = append(steps, dialogStep("opens", p))
		}
		return steps, nil
	}
	d := all[words[0]]
	if d == nil || len(words) < 3 {
		return nil, nil
	}
	by, known := map[string]int{"client": ofClient, "server": ofServer}[words[1]]
	text := strings.Join(words[min(3, len(words)):], " ")
	switch {
	case !known:
	case words[2] == "say":
		return []record.Step{dialogStep("says", d.says(by, "PA", text+"\r\n"))}, nil
	case words[2] == "part":
		return []record.Step{dialogStep("says a part", d.says(by, "PA", strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\s`, " ").Replace(text)))}, nil
	case words[2] == "send":
		return []record.Step{dialogStep("sends "+text, d.says(by, text, ""))}, nil
	case words[2] == "again":
		return []record.Step{dialogStep("says again", &d.ends[by].last)}, nil
	}
	return nil, fmt.Errorf("%q is nothing that happens in a dialog", words)
}

func dialogStep(what string, p *probe) record.Step {
	at := record.Public
	if next, ok := routes.Next(packet.AddrFrom(p.src.Addr()), packet.Addr{}, 0, 0); ok {
		at = record.NIC(next.Link)
	}
	return record.Step{Kind: "script: dialog " + what, NIC: at, Frames: p.frames(at)}
}
