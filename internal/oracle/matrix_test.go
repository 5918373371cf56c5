package oracle

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
)

// ways lead to the TCP states that NAT reaches: segments of the client (>) and
// of the server (<).
var ways = []struct{ state, way string }{
	{"SYN_RECV", ">S"},
	{"ESTABLISHED", ">S >A"},
	{"FIN_WAIT", ">S >A <FA"},
	{"CLOSE_WAIT", ">S >A >FA"},
	{"TIME_WAIT", ">S >A >FA <FA"},
	{"CLOSE", ">S >A >R"},
	{"SYN_SENT", ">S >A >FA <S"},
}

// matrix drives every cell of the TCP tables, each by a connection of its own:
// all flags in all states from both sides.
func matrix() []*record.Scenario {
	var all []*record.Scenario
	for _, w := range ways {
		s := &record.Scenario{Head: record.Head{Scenario: "tcp-matrix-" + w.state, About: "all flags from both sides in state " + w.state}}
		add := s.Add
		add(record.Step{Kind: "time goes by", Sleep: 10 * time.Second})
		add(record.Step{Kind: "rules", Command: []string{"ipvsadm", "-R"},
			Input: "-A -t 203.0.113.100:80 -s rr\n-a -t 203.0.113.100:80 -r 10.1.0.11:8080 -m\n-a -t 203.0.113.100:80 -r 10.1.0.12:8080 -m\n"})
		port := uint16(20000)
		for _, side := range "><" {
			for _, flags := range strings.Split("S A F R - SA FA RA PAU SR SF FPU SEC", " ") {
				port++
				for _, segment := range append(strings.Fields(w.way), string(side)+strings.Trim(flags, "-")) {
					add(cell(segment, port))
				}
			}
			add(record.Step{Kind: "list", List: true})
		}
		add(record.Step{Kind: "time goes by", Sleep: 15 * time.Second})
		add(record.Step{Kind: "list", List: true})
		all = append(all, s)
	}
	return all
}

// cell is a segment of the connection of one client port. Servers take turns,
// and every connection takes one; so the port tells which it is.
func cell(segment string, port uint16) record.Step {
	client := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.50"), port)
	p := newProbe(protoTCP, client, netip.MustParseAddrPort("203.0.113.100:80"))
	at := record.Public
	if segment[0] == '<' {
		// The newest server is the first one, on odd ports.
		real := fmt.Sprintf("10.1.0.%d:8080", 12-1+int(port%2))
		p, at = newProbe(protoTCP, netip.MustParseAddrPort(real), client), record.Private
	}
	p.flags, p.seq, p.ack = segment[1:], uint32(port), 77
	return record.Step{Kind: "cell of the TCP tables", NIC: at, Frames: p.frames(at)}
}
