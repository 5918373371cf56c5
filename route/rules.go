package route

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// rule is one `ip rule` of one family.
type rule struct {
	priority uint32
	src, dst netip.Prefix // invalid = any
	in       string       // NIC, empty = any
	kind     Kind         // Unicast: look into table; else the answer
	table    uint32
	beyond   string // what the rule asks for and this package cannot give
}

var ruleActions = map[uint8]Kind{
	unix.FR_ACT_TO_TBL:      Unicast,
	unix.FR_ACT_UNREACHABLE: Unreachable,
	unix.FR_ACT_BLACKHOLE:   Blackhole,
	unix.FR_ACT_PROHIBIT:    Prohibit,
}

// beyondRules names what a rule may ask for beside what is answered here.
var beyondRules = map[uint16]string{
	unix.FRA_FWMARK: "fwmark", unix.FRA_FWMASK: "fwmark", unix.FRA_OIFNAME: "oif",
	unix.FRA_L3MDEV: "l3mdev", unix.FRA_UID_RANGE: "uidrange", unix.FRA_IP_PROTO: "ipproto",
	unix.FRA_SPORT_RANGE: "sport", unix.FRA_DPORT_RANGE: "dport", unix.FRA_TUN_ID: "tun_id",
	unix.FRA_FLOW: "realms", unix.FRA_SUPPRESS_IFGROUP: "suppress_ifgroup",
	unix.FRA_SUPPRESS_PREFIXLEN: "suppress_prefixlength",
}

// fibRuleInvert is FIB_RULE_INVERT of include/uapi/linux/fib_rules.h.
const fibRuleInvert = 2

// decodeRule reads a fib_rule_hdr of family; ok is false if it is another's.
func decodeRule(b []byte, family uint8) (r rule, ok bool) {
	if len(b) < unix.SizeofRtMsg || b[0] != family {
		return rule{}, false
	}
	r.table = uint32(b[4])
	kind, known := ruleActions[b[7]]
	r.kind = kind
	if !known {
		r.beyond = "an action"
	}
	if b[3] != 0 {
		r.beyond = "tos"
	}
	if binary.NativeEndian.Uint32(b[8:])&fibRuleInvert != 0 {
		r.beyond = "not"
	}
	for kind, v := range attributes(b[unix.SizeofRtMsg:]) {
		r.attribute(kind, v, b)
	}
	return r, true
}

func (r *rule) attribute(kind uint16, v, header []byte) {
	switch kind {
	case unix.FRA_PRIORITY:
		r.priority = number(v)
	case unix.FRA_TABLE:
		r.table = number(v)
	case unix.FRA_IIFNAME:
		r.in = text(v)
	case unix.FRA_DST:
		r.dst = prefix(header[0], address(v), header[1])
	case unix.FRA_SRC:
		r.src = prefix(header[0], address(v), header[2])
	default:
		name, beyond := beyondRules[kind]
		if beyond && !idle(kind, v) {
			r.beyond = name
		}
	}
}

// idle reports whether a rule attribute has the value that means "not asked";
// the kernel sends some attributes with every rule.
func idle(kind uint16, v []byte) bool {
	switch kind {
	case unix.FRA_SUPPRESS_PREFIXLEN, unix.FRA_SUPPRESS_IFGROUP:
		return number(v) == ^uint32(0)
	case unix.FRA_L3MDEV, unix.FRA_FWMARK, unix.FRA_FWMASK, unix.FRA_FLOW:
		return number(v) == 0
	}
	return false
}

// defaultRules are those of a kernel without policy routing.
func defaultRules() []rule {
	return []rule{
		{kind: Unicast, table: unix.RT_TABLE_LOCAL},
		{kind: Unicast, table: unix.RT_TABLE_MAIN, priority: 32766},
	}
}

// steps joins rules with the tables they look into. A rule that asks for more
// than this package gives has been warned about and is left out.
func steps(rules []rule, v6 bool, t *tables, links map[int]Link) []step {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b rule) int { return cmp.Compare(a.priority, b.priority) })
	var out []step
	for _, r := range rules {
		s := step{src: r.src, dst: r.dst, in: ifindexOf(r.in, links), kind: r.kind}
		s.every = !s.src.IsValid() && !s.dst.IsValid() && s.in == 0
		if r.kind == Unicast {
			tab := t.all[space{v6, r.table}]
			if tab == nil || tab.best.Size() == 0 {
				continue
			}
			s.table = tab.best
		}
		if r.beyond == "" {
			out = append(out, s)
		}
	}
	return out
}

// ifindexOf finds a link by name: 0 for no name, -1 for a name nobody has.
func ifindexOf(name string, links map[int]Link) int {
	if name == "" {
		return 0
	}
	for index, l := range links {
		if l.Name == name {
			return index
		}
	}
	return -1
}
