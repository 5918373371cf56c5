package service

import (
	"math"
	"net/netip"
	"slices"
)

// Zone tells the marks of one protocol's packets to a prefix, as far as no
// zone of a longer prefix has them: whoever has found the longest prefix knows
// all that mark rules say.
type Zone struct {
	Protocol Protocol
	Prefix   netip.Prefix
	Spans    []Span // in the order of their ports
}

// Span is a range of ports with one mark.
type Span struct {
	From, To uint16
	Mark     uint32
}

// Zones turns the rules for packets that come over a link, of which the first
// one counts, into zones. A packet to a prefix in no zone has no mark.
func Zones(rules []MarkRule, link string) (zones []Zone) {
	for _, proto := range []Protocol{TCP, UDP, SCTP} {
		var own []MarkRule
		for _, r := range rules {
			if (r.Protocol == 0 || r.Protocol == proto) && (r.NIC == "" || r.NIC == link) {
				own = append(own, r)
			}
		}
		seen := map[netip.Prefix]bool{}
		for _, r := range own {
			if !seen[r.Prefix] {
				seen[r.Prefix] = true
				zones = append(zones, Zone{proto, r.Prefix, spansOf(holding(own, r.Prefix))})
			}
		}
	}
	return zones
}

// holding returns the rules whose prefixes hold all of p.
func holding(rules []MarkRule, p netip.Prefix) (found []MarkRule) {
	for _, r := range rules {
		if r.Prefix.Bits() <= p.Bits() && r.Prefix.Contains(p.Addr()) {
			found = append(found, r)
		}
	}
	return found
}

// spansOf lays the rules over the ports: where several lie, the first shows.
func spansOf(rules []MarkRule) (spans []Span) {
	cuts := []int{0, math.MaxUint16 + 1}
	for i := range rules {
		from, to := rules[i].ports()
		cuts = append(cuts, int(from), int(to)+1)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	marks := make([]uint32, len(cuts)) // of the ports between a cut and the next
	next := make([]int, len(cuts)+1)   // where a search for one without mark goes on
	for i := range next {
		next[i] = i
	}
	for i := range rules {
		from, to := rules[i].ports()
		first, _ := slices.BinarySearch(cuts, int(from))
		end, _ := slices.BinarySearch(cuts, int(to)+1)
		for at := unmarked(next, first); at < end; at = unmarked(next, at) {
			marks[at], next[at] = rules[i].Mark, at+1
		}
	}
	for i, mark := range marks {
		if mark == 0 {
			continue
		}
		from, to := uint16(cuts[i]), uint16(cuts[i+1]-1)
		if n := len(spans); n > 0 && spans[n-1].Mark == mark && spans[n-1].To+1 == from {
			spans[n-1].To = to
			continue
		}
		spans = append(spans, Span{from, to, mark})
	}
	return spans
}

// unmarked returns the first place without mark from at on.
func unmarked(next []int, at int) int {
	for next[at] != at {
		next[at] = next[next[at]] // shorter for the next search
		at = next[at]
	}
	return at
}
