package oracle

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/lvx-lb/lvx/internal/oracle/record"
)

// byMark are services by firewall mark, with the rules that lead to them.
var byMark = map[string]virtual{
	"-f 7": {proto: protoTCP, at: netip.MustParseAddrPort("203.0.113.100:80"),
		marks: []string{"7 to 203.0.113.100 tcp 443", "7 to 203.0.113.96/28 tcp 80-81"}},
	"-f 8": {proto: protoUDP, at: netip.MustParseAddrPort("203.0.113.101:53"),
		marks: []string{"8 to 203.0.113.101 any 53", "8 to 203.0.113.100 udp 80-81 on pub0"}},
	"-f 9 -6": {proto: protoTCP, at: netip.MustParseAddrPort("[2001:db8:1::100]:80"),
		marks: []string{"9 to 2001:db8:1::100 tcp 80", "9 to 2001:db8:1::/64 any 443"}},
}

// marked is where a client calls a service by mark, or nearly so.
func (a *author) marked(v *virtual) netip.AddrPort {
	addr := v.at.Addr()
	if addr.Is4() {
		addr = netip.MustParseAddr(choose(a, "203.0.113.100", "203.0.113.101"))
	}
	return netip.AddrPortFrom(addr, choose[uint16](a, 80, 80, 81, 53, 443))
}

func (a *author) remark(kind, verb, rule string) {
	a.add(record.Step{Kind: kind, Command: append([]string{"mark", verb}, strings.Fields(rule)...)})
}

// changeMarks adds and deletes rules of a service by mark.
func (a *author) changeMarks(name string) {
	var marked []virtual
	for _, v := range a.services {
		if len(v.marks) > 0 {
			marked = append(marked, v)
		}
	}
	if len(marked) == 0 {
		return
	}
	rule := choose(a, choose(a, marked...).marks...)
	for _, r := range a.set.Marks() {
		if slices.Equal(strings.Fields(r.String()), strings.Fields(rule)) && a.IntN(2) == 0 {
			a.remark(name, "del", rule)
			return
		}
	}
	a.remark(name, "add", rule)
}
