package service

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// What a change of mark rules may be refused with, besides ErrInvalid.
var (
	ErrMarkExists = errors.New("mark rule already exists")
	ErrNoMark     = errors.New("no such mark rule")
	ErrMarksFull  = errors.New("too many mark rules")
)

// MaxMarks is how many mark rules a Set holds.
const MaxMarks = 1024

// MarkRule gives a firewall mark to packets that go to a prefix. Of several
// rules for a packet the first counts, in the order in which they were added.
type MarkRule struct {
	Mark     uint32       `json:"mark"`
	Prefix   netip.Prefix `json:"prefix"`
	Protocol Protocol     `json:"protocol,omitempty"` // 0 = any
	From     uint16       `json:"from,omitempty"`     // first port; From and To 0 = all
	To       uint16       `json:"to,omitempty"`       // last port
	NIC      string       `json:"nic,omitempty"`      // over which the packet comes, "" = any
}

// ParseMarkRule reads a rule as String writes it:
//
//	MARK to PREFIX [tcp|udp|sctp|any [PORT[-PORT]]] [on NIC]
func ParseMarkRule(words []string) (r MarkRule, err error) {
	if n := len(words); n > 2 && words[n-2] == "on" {
		r.NIC, words = words[n-1], words[:n-2]
	}
	if len(words) < 3 || len(words) > 5 || words[1] != "to" {
		return r, fmt.Errorf("%w: a mark rule is MARK to PREFIX [PROTOCOL [PORTS]] [on NIC]", ErrInvalid)
	}
	n, err := strconv.ParseUint(words[0], 10, 32)
	if err != nil || n == 0 {
		return r, fmt.Errorf("%w: mark %q is not a number from 1 to %d", ErrInvalid, words[0], uint32(math.MaxUint32))
	}
	r.Mark = uint32(n)
	if r.Prefix, err = parsePrefix(words[2]); err != nil {
		return r, err
	}
	if len(words) > 3 {
		at := slices.IndexFunc(protocolWords[:], func(p protocolWord) bool { return p.word == words[3] })
		if at < 0 {
			return r, fmt.Errorf("%w: protocol %q is not tcp, udp, sctp or any", ErrInvalid, words[3])
		}
		r.Protocol = protocolWords[at].protocol
	}
	if len(words) > 4 {
		if r.From, r.To, err = parsePorts(words[4]); err != nil {
			return r, err
		}
	}
	r = r.normal()
	return r, r.valid()
}

type protocolWord struct {
	word     string
	protocol Protocol
}

var protocolWords = [...]protocolWord{{"any", 0}, {"tcp", TCP}, {"udp", UDP}, {"sctp", SCTP}}

func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if a, bad := netip.ParseAddr(text); bad == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil {
		return p, fmt.Errorf("%w: %q is neither an address nor a prefix", ErrInvalid, text)
	}
	return p, nil
}

func parsePorts(text string) (from, to uint16, err error) {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	first, err := strconv.ParseUint(low, 10, 16)
	last, err2 := strconv.ParseUint(high, 10, 16)
	if err != nil || err2 != nil || first == 0 || last < first {
		return 0, 0, fmt.Errorf("%w: ports %q are neither a port nor a range FIRST-LAST, from 1 to 65535", ErrInvalid, text)
	}
	return uint16(first), uint16(last), nil
}

// normal returns the rule in the one form that is compared.
func (r MarkRule) normal() MarkRule {
	if r.From == 1 && r.To == math.MaxUint16 {
		r.From, r.To = 0, 0
	}
	if a := r.Prefix.Addr(); a.Is4In6() && r.Prefix.Bits() >= 96 {
		r.Prefix = netip.PrefixFrom(a.Unmap(), r.Prefix.Bits()-96)
	}
	r.Prefix = r.Prefix.Masked()
	return r
}

func (r MarkRule) valid() error {
	switch p := r.Protocol; {
	case r.Mark == 0:
		return fmt.Errorf("%w: mark 0", ErrInvalid)
	case !r.Prefix.IsValid():
		return fmt.Errorf("%w: no prefix", ErrInvalid)
	case p != 0 && p != TCP && p != UDP && p != SCTP:
		return fmt.Errorf("%w: %v", ErrInvalid, p)
	case r.From > r.To || r.From == 0 && r.To != 0:
		return fmt.Errorf("%w: ports %d to %d", ErrInvalid, r.From, r.To)
	case strings.ContainsAny(r.NIC, " \t\r\n"):
		return fmt.Errorf("%w: NIC %q", ErrInvalid, r.NIC)
	}
	return nil
}

// ports returns the first and the last port. Port 0 is nobody's.
func (r *MarkRule) ports() (from, to uint16) {
	if r.To == 0 {
		return 1, math.MaxUint16
	}
	return r.From, r.To
}

// Key returns the name of the service that packets with the rule's mark are
// for.
func (r *MarkRule) Key() Key {
	k := Key{Mark: r.Mark}
	if r.Prefix.Addr().Is6() {
		k.Address = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}
	return k
}

// Takes reports whether packets of that protocol to that endpoint, over any
// NIC, may have been marked by the rule.
func (r *MarkRule) Takes(p Protocol, to netip.AddrPort) bool {
	from, last := r.ports()
	return r.Prefix.Contains(to.Addr()) && (r.Protocol == 0 || r.Protocol == p) && from <= to.Port() && to.Port() <= last
}

// String returns the rule as ParseMarkRule reads it.
func (r MarkRule) String() string {
	text := fmt.Sprintf("%d to ", r.Mark)
	if r.Prefix.IsSingleIP() {
		text += r.Prefix.Addr().String()
	} else {
		text += r.Prefix.String()
	}
	for _, p := range protocolWords {
		if p.protocol == r.Protocol && (r.Protocol != 0 || r.To != 0) {
			text += " " + p.word
		}
	}
	switch {
	case r.To == 0:
	case r.From == r.To:
		text += fmt.Sprintf(" %d", r.From)
	default:
		text += fmt.Sprintf(" %d-%d", r.From, r.To)
	}
	if r.NIC != "" {
		text += " on " + r.NIC
	}
	return text
}

// Marks returns the mark rules in the order in which they were added. The
// caller must not change them.
func (s *Set) Marks() []MarkRule { return s.marks }

func (s *Set) addMark(r MarkRule) error {
	same := func(other MarkRule) bool { other.Mark = r.Mark; return other == r }
	switch err := errors.Join(r.valid(), s.features.refuse(Marks)); {
	case err != nil:
		return err
	case slices.ContainsFunc(s.marks, same):
		return ErrMarkExists
	case len(s.marks) >= MaxMarks:
		return fmt.Errorf("%w: at most %d", ErrMarksFull, MaxMarks)
	}
	s.marks = append(slices.Clip(s.marks), r)
	return nil
}

func (s *Set) deleteMark(r MarkRule) error {
	at := slices.Index(s.marks, r)
	if at < 0 {
		return ErrNoMark
	}
	s.marks = slices.Delete(slices.Clone(s.marks), at, at+1)
	return nil
}
