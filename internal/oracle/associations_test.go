package oracle

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
)

// sctpWays lead to the SCTP states that NAT reaches.
var sctpWays = []string{">INIT", ">INIT <INIT-ACK", ">INIT <INIT-ACK >COOKIE-ECHO", ">INIT <INIT-ACK >COOKIE-ECHO <COOKIE-ACK",
	">INIT <COOKIE-ACK >SHUTDOWN", ">INIT <COOKIE-ACK <SHUTDOWN", ">INIT <COOKIE-ACK <SHUTDOWN <SHUTDOWN-ACK", ">INIT <ABORT", ">INIT <INIT",
	">INIT <COOKIE-ECHO", ">INIT >ABORT", ">INIT >INIT"}

// associations drives every cell of the SCTP tables: all chunks in all states,
// from one side in each scenario, as some states last seconds only.
func associations() (all []*record.Scenario) {
	for n, way := range sctpWays {
		for _, side := range "><" {
			s := &record.Scenario{Head: record.Head{Scenario: fmt.Sprintf("sctp-matrix-%d%c", n+1, side), About: "all chunks from one side after " + way}}
			s.Add(record.Step{Kind: "time goes by", Sleep: 10 * time.Second})
			s.Add(record.Step{Kind: "rules", Command: []string{"ipvsadm", "-R"},
				Input: "-A --sctp-service 203.0.113.100:132 -s rr\n-a --sctp-service 203.0.113.100:132 -r 10.1.0.11:9132 -m\n"})
			port := uint16(20000)
			for _, chunk := range strings.Fields("DATA INIT INIT-ACK COOKIE-ECHO COOKIE-ACK SHUTDOWN SHUTDOWN-ACK SHUTDOWN-COMPLETE ERROR ABORT SACK AUTH none") {
				port++
				for _, word := range append(strings.Fields(way), string(side)+chunk) {
					s.Add(chunkOf(word, port))
				}
			}
			s.Add(record.Step{Kind: "list", List: true})
			all = append(all, s)
		}
	}
	return all
}

// chunkOf is a packet of the association of one client port.
func chunkOf(word string, port uint16) record.Step {
	client, real := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.50"), port), netip.MustParseAddrPort("10.1.0.11:9132")
	p, at := newProbe(protoSCTP, client, netip.MustParseAddrPort("203.0.113.100:132")), record.Public
	if word[0] == '<' {
		p, at = newProbe(protoSCTP, real, client), record.Private
	}
	p.flags, p.ack = word[1:], uint32(port)
	return record.Step{Kind: "cell of the SCTP tables", NIC: at, Frames: p.frames(at)}
}
