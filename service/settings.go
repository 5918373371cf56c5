package service

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrNoSysctl tells that IPVS has no sysctl of that name.
var ErrNoSysctl = errors.New("no such sysctl")

// SysctlPrefix is what the names begin with for sysctl(8); here it may be
// left out.
const SysctlPrefix = "net.ipv4.vs."

// Settings are the sysctls of IPVS that a director carries out, by IPVS's
// names and with its values. A switch is on when it is not 0.
type Settings struct {
	AmDroprate              int `json:"am_droprate"`
	ConnReuseMode           int `json:"conn_reuse_mode"`
	DropConn                int `json:"drop_entry"`
	DropPacket              int `json:"drop_packet"`
	ExpireNodestConn        int `json:"expire_nodest_conn"`
	ExpireQuiescentTemplate int `json:"expire_quiescent_template"`
	NatIcmpSend             int `json:"nat_icmp_send"`
	PmtuDisc                int `json:"pmtu_disc"`
	RunEstimation           int `json:"run_estimation"`
	ScheduleIcmp            int `json:"schedule_icmp"`
	SecureTCP               int `json:"secure_tcp"`
	SloppySCTP              int `json:"sloppy_sctp"`
	SloppyTCP               int `json:"sloppy_tcp"`
	SnatReroute             int `json:"snat_reroute"`
}

// DefaultSettings returns those of IPVS.
func DefaultSettings() Settings {
	return Settings{AmDroprate: 10, ConnReuseMode: 1, PmtuDisc: 1, RunEstimation: 1, SnatReroute: 1}
}

// The modes of DropConn, DropPacket and SecureTCP.
const (
	DefenceOff    = 0
	DefenceIdle   = 1 // on while room is short, which it is not
	DefenceActive = 2 // on while room is short, which it is
	DefenceAlways = 3
)

// Sysctl is a setting with its value.
type Sysctl struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
}

// ParseSysctl reads NAME=VALUE; spaces may stand around the equals sign.
func ParseSysctl(text string) (Sysctl, error) {
	name, value, ok := strings.Cut(text, "=")
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if !ok || err != nil {
		return Sysctl{}, fmt.Errorf("%w: %q is not NAME=NUMBER", ErrInvalid, text)
	}
	return Sysctl{strings.TrimSpace(name), n}, nil
}

// sysctls are the settings in the order of their names.
var sysctls = []struct {
	name     string
	min, max int
	in       func(*Settings) *int
}{
	{"am_droprate", 1, 1 << 20, func(s *Settings) *int { return &s.AmDroprate }},
	{"conn_reuse_mode", 0, 3, func(s *Settings) *int { return &s.ConnReuseMode }},
	{"drop_entry", 0, 3, func(s *Settings) *int { return &s.DropConn }},
	{"drop_packet", 0, 3, func(s *Settings) *int { return &s.DropPacket }},
	{"expire_nodest_conn", 0, 1, func(s *Settings) *int { return &s.ExpireNodestConn }},
	{"expire_quiescent_template", 0, 1, func(s *Settings) *int { return &s.ExpireQuiescentTemplate }},
	{"nat_icmp_send", 0, 1, func(s *Settings) *int { return &s.NatIcmpSend }},
	{"pmtu_disc", 0, 1, func(s *Settings) *int { return &s.PmtuDisc }},
	{"run_estimation", 0, 1, func(s *Settings) *int { return &s.RunEstimation }},
	{"schedule_icmp", 0, 1, func(s *Settings) *int { return &s.ScheduleIcmp }},
	{"secure_tcp", 0, 3, func(s *Settings) *int { return &s.SecureTCP }},
	{"sloppy_sctp", 0, 1, func(s *Settings) *int { return &s.SloppySCTP }},
	{"sloppy_tcp", 0, 1, func(s *Settings) *int { return &s.SloppyTCP }},
	{"snat_reroute", 0, 1, func(s *Settings) *int { return &s.SnatReroute }},
}

// noSysctls says why the other sysctls of IPVS mean nothing here.
var noSysctls = map[string]string{
	"amemthresh":          "room is short when less than 1/16 of the connection table is free",
	"backup_only":         noDaemons,
	"cache_bypass":        "there is no way around the servers: lvx forwards by masquerading only",
	"conntrack":           "netfilter does not see the connections",
	"debug_level":         "start lvx run with --debug",
	"est_cpulist":         "rates cost the director no thread of their own",
	"est_nice":            "rates cost the director no thread of their own",
	"ignore_tunneled":     "there are no tunnels: lvx forwards by masquerading only",
	"sync_persist_mode":   noDaemons,
	"sync_ports":          noDaemons,
	"sync_qlen_max":       noDaemons,
	"sync_refresh_period": noDaemons,
	"sync_retries":        noDaemons,
	"sync_sock_size":      noDaemons,
	"sync_threshold":      noDaemons,
	"sync_version":        noDaemons,
}

const noDaemons = "there are no sync daemons"

// at returns the value of a setting and its range.
func (s *Settings) at(name string) (value *int, low, high int, err error) {
	name = strings.TrimPrefix(name, SysctlPrefix)
	for i := range sysctls {
		if c := &sysctls[i]; c.name == name {
			return c.in(s), c.min, c.max, nil
		}
	}
	if why := noSysctls[name]; why != "" {
		return nil, 0, 0, fmt.Errorf("%s is %w: %s", name, ErrNotSupported, why)
	}
	return nil, 0, 0, fmt.Errorf("%w: %s", ErrNoSysctl, name)
}

// Set changes one setting, or nothing if it returns an error.
func (s *Settings) Set(c Sysctl) error {
	value, low, high, err := s.at(c.Name)
	switch {
	case err != nil:
		return err
	case c.Value < low || c.Value > high:
		return fmt.Errorf("%w: %s takes %d to %d", ErrRange, strings.TrimPrefix(c.Name, SysctlPrefix), low, high)
	}
	*value = c.Value
	return nil
}

// Get returns the value of one setting.
func (s Settings) Get(name string) (int, error) {
	value, _, _, err := s.at(name)
	if err != nil {
		return 0, err
	}
	return *value, nil
}

// All returns every setting, by name.
func (s Settings) All() []Sysctl {
	all := make([]Sysctl, 0, len(sysctls))
	for _, c := range sysctls {
		all = append(all, Sysctl{c.name, *c.in(&s)})
	}
	return all
}

// Changed returns the settings that are not the default, by name.
func (s Settings) Changed() []Sysctl {
	defaults := DefaultSettings()
	return slices.DeleteFunc(s.All(), func(c Sysctl) bool {
		usual, err := defaults.Get(c.Name)
		return err == nil && usual == c.Value
	})
}

// Seen returns the settings as IPVS shows them: a defence that waits for a
// shortage of room says by its mode whether there is one.
func (s Settings) Seen(short bool) Settings {
	for _, mode := range []*int{&s.DropConn, &s.DropPacket, &s.SecureTCP} {
		switch {
		case *mode != DefenceIdle && *mode != DefenceActive:
		case short:
			*mode = DefenceActive
		default:
			*mode = DefenceIdle
		}
	}
	return s
}
