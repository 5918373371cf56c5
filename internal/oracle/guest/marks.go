package main

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/service"
)

// mark has netfilter mark packets by the rules that lvx would have now.
func (k *ipvs) mark(words []string) (code int, err error) {
	edit, err := (&record.Step{Command: words}).Mark()
	if err == nil {
		err = k.rules.Apply(edit)
	}
	if err != nil {
		return 1, nil
	}
	return 0, k.lay()
}

// lay tells nftables all rules anew.
func (k *ipvs) lay() error {
	cmd := exec.Command("nft", "-f", "-")
	rules := k.rules.Marks()
	cmd.Stdin, k.marked = strings.NewReader(ruleset(rules)), len(rules) > 0
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mark packets: %w: %s", err, out)
	}
	return nil
}

// ruleset says in the words of nftables which packets get which mark. The
// first rule that fits counts.
func ruleset(rules []service.MarkRule) string {
	text := "table inet marks\ndelete table inet marks\ntable inet marks {\nchain in {\ntype filter hook prerouting priority mangle;\n"
	for _, r := range rules {
		match := ""
		if r.NIC != "" {
			match = fmt.Sprintf("iifname %q ", r.NIC)
		}
		family := "ip"
		if r.Prefix.Addr().Is6() {
			family = "ip6"
		}
		match += fmt.Sprintf("%s daddr %v ", family, r.Prefix)
		for _, proto := range []struct {
			number service.Protocol
			name   string
		}{{service.TCP, "tcp"}, {service.UDP, "udp"}, {service.SCTP, "sctp"}} {
			if r.Protocol != 0 && r.Protocol != proto.number {
				continue
			}
			ports := "meta l4proto " + proto.name
			switch {
			case r.To == 0:
			case r.From == r.To:
				ports = fmt.Sprintf("%s dport %d", proto.name, r.From)
			default:
				ports = fmt.Sprintf("%s dport %d-%d", proto.name, r.From, r.To)
			}
			text += fmt.Sprintf("%s%s meta mark set %d accept\n", match, ports, r.Mark)
		}
	}
	return text + "}\n}\n"
}
