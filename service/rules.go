package service

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names looks up what ipvsadm prints for addresses and ports. A nil function,
// and one that returns "", stands for the number.
type Names struct {
	Host func(netip.Addr) string
	Port func(Protocol, uint16) string
}

// Format returns address and port as ipvsadm prints them.
func (n Names) Format(p Protocol, a netip.AddrPort) string {
	host, port := "", ""
	if n.Host != nil {
		host = n.Host(a.Addr())
	}
	if host == "" {
		host = a.Addr().String()
	}
	if n.Port != nil {
		port = n.Port(p, a.Port())
	}
	if port == "" {
		port = strconv.Itoa(int(a.Port()))
	}
	if a.Addr().Is6() {
		return "[" + host + "]:" + port
	}
	return host + ":" + port
}

// Saved is what a director was told.
type Saved struct {
	Timeouts Timeouts
	Services []Configured // in the order of their creation, each with its newest server first
	Marks    []MarkRule
	Sysctls  []Sysctl
}

// Write writes s as the commands that make it, in their order. Nothing is
// lost: thresholds, timeouts and the order in which the schedulers go are in
// it. Mark rules are lines "mark RULE", sysctls "sysctl NAME=VALUE"; the others
// are ipvsadm's.
func (s *Saved) Write(w io.Writer) error {
	out := bufio.NewWriter(w)
	seconds := func(d time.Duration) int64 { return int64(d.Seconds()) }
	t := s.Timeouts.or(DefaultTimeouts())
	fmt.Fprintf(out, "--set %d %d %d\n", seconds(t.TCP), seconds(t.TCPFin), seconds(t.UDP))
	for _, c := range s.Services {
		which := Names{}.option(c.Key)
		fmt.Fprintf(out, "-A %s%s\n", which, c.options())
		for _, v := range slices.Backward(c.Servers) {
			fmt.Fprintf(out, "-a %s -r %s %s%s\n", which, Names{}.Format(c.Protocol, v.Address), v.options(), v.thresholds())
		}
	}
	for _, r := range s.Marks {
		fmt.Fprintf(out, "mark %v\n", r)
	}
	for _, c := range s.Sysctls {
		fmt.Fprintf(out, "sysctl %s=%d\n", c.Name, c.Value)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return nil
}

func (v Server) thresholds() string {
	text := ""
	if v.Upper != 0 {
		text = fmt.Sprintf(" -x %d", v.Upper)
	}
	if v.Lower != 0 {
		text += fmt.Sprintf(" -y %d", v.Lower)
	}
	return text
}

// WriteRules writes the services as the commands that make them: with the
// zero Names what ipvsadm -S -n prints, with lookups what -S prints. Like
// ipvsadm it leaves out thresholds and timeouts.
func WriteRules(w io.Writer, services []Configured, names Names) error {
	out := bufio.NewWriter(w)
	for _, c := range services {
		which := names.option(c.Key)
		fmt.Fprintf(out, "-A %s%s\n", which, c.options())
		for _, v := range c.Servers {
			fmt.Fprintf(out, "-a %s -r %s %s\n", which, names.Format(c.Protocol, v.Address), v.options())
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return nil
}

// option returns the option that names the service.
func (n Names) option(k Key) string {
	switch {
	case k.Mark != 0 && k.Is6():
		return fmt.Sprintf("-f %d -6", k.Mark)
	case k.Mark != 0:
		return fmt.Sprintf("-f %d", k.Mark)
	}
	option := map[Protocol]string{TCP: "-t", UDP: "-u", SCTP: "--sctp-service"}[k.Protocol]
	return option + " " + n.Format(k.Protocol, k.Address)
}

func (v Service) options() string {
	text := " -s " + v.Scheduler
	if v.Persistent != 0 {
		text += fmt.Sprintf(" -p %d", int64(v.Persistent.Seconds()))
		if mask := v.Mask(); mask != "" {
			text += " -M " + mask
		}
	}
	if v.OnePacket {
		text += " -o"
	}
	if len(v.Flags) > 0 {
		text += " -b " + strings.Join(v.Flags, ",")
	}
	return text
}

// Mask returns the netmask as ipvsadm writes it, dotted for IPv4, a prefix
// length for IPv6, and "" for the whole address.
func (v Service) Mask() string {
	switch {
	case v.Is6() && v.Netmask > 0 && v.Netmask < 128:
		return v.Netmask.String()
	case !v.Is6() && v.Netmask > 0 && v.Netmask != 32:
		return v.Netmask.dotted()
	}
	return ""
}

func (v Server) options() string {
	weight := fmt.Sprintf(" -w %d", v.Weight)
	switch v.Method {
	case Route:
		return "-g" + weight
	case Tunnel:
		return "-i" + weight + " --tun-type ipip"
	}
	return "-m" + weight
}
