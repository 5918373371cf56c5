package oracle

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
)

// choosers are the schedulers with their flags. Debian builds no twos, which
// draws lots.
var choosers = []string{"rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "lblc", "lblcr", "dh", "sh", "sh -b sh-port", "sh -b sh-fallback",
	"mh", "mh -b mh-port", "mh -b mh-fallback"}

// choices has every scheduler choose among servers of several weights: for
// connections that stay, for those that are closed at once, and for many
// clients.
func choices() (all []*record.Scenario) {
	const vip = "203.0.113.100:80"
	for _, name := range choosers {
		s := &record.Scenario{Head: record.Head{Scenario: "sched-" + strings.ReplaceAll(name, " -b ", "."), About: "whom " + name + " chooses"}}
		s.Add(record.Step{Kind: "time goes by", Sleep: 10 * time.Second})
		port, round := uint16(20000), 0
		call := func(flags string, from, to netip.AddrPort) {
			p, at := newProbe(protoTCP, from, to), record.Public
			if p.flags = flags; to.String() != vip {
				at = record.Private
			}
			s.Add(record.Step{Kind: "scheduler: " + name, NIC: at, Frames: p.frames(at)})
		}
		for _, weights := range [][]int{{3, 1}, {5, 3, 2}, {1, 0, 1}, {0, 0}} {
			for _, way := range []string{"hold", "reset", "clients"} {
				round++ // its servers are others, or they would remember the connections
				rules := fmt.Sprintf("-C\n-A -t %s -s %s\n", vip, name)
				for i, w := range weights {
					rules += fmt.Sprintf("-a -t %s -r 10.1.0.%d:%d -m -w %d\n", vip, 11+i, 8080+round, w)
				}
				s.Add(record.Step{Kind: "rules", Command: []string{"ipvsadm", "-R"}, Input: rules})
				for n := range 12 {
					client := netip.MustParseAddr("203.0.113.50")
					if port++; way == "clients" {
						client = netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + n*7)})
					}
					from := netip.AddrPortFrom(client, port)
					call("S", from, netip.MustParseAddrPort(vip))
					for i := 0; i < len(weights) && way == "reset"; i++ {
						call("RA", netip.MustParseAddrPort(fmt.Sprintf("10.1.0.%d:%d", 11+i, 8080+round)), from)
					}
				}
				s.Add(record.Step{Kind: "list", List: true})
			}
		}
		all = append(all, s)
	}
	return all
}
