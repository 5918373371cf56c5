package oracle

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/conntrack"
)

// conn is a connection as both sides list it.
type conn struct {
	proto                 string
	client, virtual, real netip.AddrPort
	state                 string
	awaited               bool          // a data connection of FTP, by whatever port the client may call
	expires               int           // seconds
	left, timeout         time.Duration // as lvx knows them
}

func (c conn) String() string {
	return fmt.Sprintf("%s %v %v %v %s %d", c.proto, c.client, c.virtual, c.real, c.state, c.expires)
}

// server is a real server as both sides list it; order counts from the head
// of the service's list.
type server struct {
	service          string
	order            int
	real             netip.AddrPort
	weight           int
	active, inactive int
}

func (s server) String() string {
	return fmt.Sprintf("%s, server %d: %v weight %d, %d active, %d inactive", s.service, s.order+1, s.real, s.weight, s.active, s.inactive)
}

// parseConns reads the lines of /proc/net/ip_vs_conn.
func parseConns(lines []string) ([]conn, error) {
	var all []conn
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) < 9 {
			return nil, fmt.Errorf("read connection %q: too short", line)
		}
		c := conn{proto: f[0], state: f[7]}
		for i, e := range []*netip.AddrPort{&c.client, &c.virtual, &c.real} {
			port, err := strconv.ParseUint(f[2+2*i], 16, 16)
			addr, err2 := parseHex(f[1+2*i])
			if err != nil || err2 != nil {
				return nil, fmt.Errorf("read connection %q: %v %v", line, err, err2)
			}
			*e = netip.AddrPortFrom(addr, uint16(port))
		}
		n, err := strconv.Atoi(f[8])
		if err != nil {
			return nil, fmt.Errorf("read connection %q: %w", line, err)
		}
		c.expires, c.awaited = n, c.client.Port() == 0 && c.state == conntrack.Listen.String()
		all = append(all, c)
	}
	return all, nil
}

// parseHex reads an address of /proc/net/ip_vs_conn: eight hexadecimal digits,
// or IPv6 in its long form.
func parseHex(text string) (netip.Addr, error) {
	if strings.Contains(text, ":") {
		return netip.ParseAddr(strings.Trim(text, "[]"))
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 4 {
		return netip.Addr{}, fmt.Errorf("read address %q: %w", text, err)
	}
	return netip.AddrFrom4([4]byte(b)), nil
}

// parseServers reads the lines of /proc/net/ip_vs.
func parseServers(lines []string) ([]server, error) {
	var all []server
	name, order := "", 0
	for _, line := range lines {
		f := strings.Fields(line)
		at := 1
		if f[0] != "->" {
			order = 0
		}
		if f[0] == "FWM" {
			mark, err := strconv.ParseUint(f[1], 16, 32)
			if err != nil {
				return nil, fmt.Errorf("read service %q: %w", line, err)
			}
			name = fmt.Sprintf("FWM %d", mark)
			continue
		}
		addr, port, err := parseHexEndpoint(f[at])
		if err != nil {
			return nil, fmt.Errorf("read service %q: %w", line, err)
		}
		real := netip.AddrPortFrom(addr, port)
		if f[0] != "->" {
			name = fmt.Sprintf("%s %v", f[0], real)
			continue
		}
		s := server{service: name, order: order, real: real}
		if addr.Is6() && strings.HasPrefix(name, "FWM ") {
			s.service += " of IPv6" // which only its servers tell
		}
		for i, n := range []*int{&s.weight, &s.active, &s.inactive} {
			if *n, err = strconv.Atoi(f[3+i]); err != nil {
				return nil, fmt.Errorf("read server %q: %w", line, err)
			}
		}
		all = append(all, s)
		order++
	}
	return all, nil
}

func parseHexEndpoint(text string) (netip.Addr, uint16, error) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return netip.Addr{}, 0, fmt.Errorf("read endpoint %q", text)
	}
	port, err := strconv.ParseUint(text[at+1:], 16, 16)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	addr, err := parseHex(text[:at])
	return addr, uint16(port), err
}

// sameOutput compares what ipvsadm prints. The kernel lists connections in the
// order of its hash, and their time may be a second more or less.
func sameOutput(kernel, lvx string) bool {
	return kernel == lvx || strings.Contains(kernel, " expire ") && maps.EqualFunc(timesOf(kernel), timesOf(lvx), func(a, b int) bool {
		return a-b <= 1 && b-a <= 1
	})
}

var expiry = regexp.MustCompile(`\d+:\d\d`)

// timesOf returns the lines of a list of connections without their time, and
// that in seconds.
func timesOf(text string) map[string]int {
	lines := map[string]int{}
	for line := range strings.Lines(text) {
		time := expiry.FindString(line)
		minutes, seconds, _ := strings.Cut(time, ":")
		m, _ := strconv.Atoi(minutes)
		s, _ := strconv.Atoi(seconds)
		lines[strings.Replace(line, time, "", 1)] = m*60 + s
	}
	return lines
}

// parsePrintedConns reads the lines of ipvsadm -Lnc.
func parsePrintedConns(lines []string) ([]conn, error) {
	var all []conn
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) != 6 {
			return nil, fmt.Errorf("read printed connection %q: it has %d words", line, len(f))
		}
		c := conn{proto: f[0], state: f[2]}
		var minutes, seconds int
		_, err := fmt.Sscanf(f[1], "%d:%d", &minutes, &seconds)
		for i, e := range []*netip.AddrPort{&c.client, &c.virtual, &c.real} {
			if err == nil {
				*e, err = netip.ParseAddrPort(f[3+i])
			}
		}
		if err != nil {
			return nil, fmt.Errorf("read printed connection %q: %w", line, err)
		}
		c.expires, c.awaited = minutes*60+seconds, c.client.Port() == 0 && c.state == conntrack.Listen.String()
		all = append(all, c)
	}
	return all, nil
}

// parsePrintedServers reads the lines of ipvsadm -Ln --nosort.
func parsePrintedServers(lines []string) ([]server, error) {
	var all []server
	name, order := "", 0
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) < 3 {
			return nil, fmt.Errorf("read printed service %q: it has %d words", line, len(f))
		}
		if f[0] != "->" {
			name, order = f[0]+" "+f[1], 0
			if f[0] == "FWM" && f[2] == "IPv6" {
				name += " of IPv6"
			}
			continue
		}
		s := server{service: name, order: order}
		_, err := fmt.Sscanf(strings.Join(f[3:], " "), "%d %d %d", &s.weight, &s.active, &s.inactive)
		if err == nil {
			s.real, err = netip.ParseAddrPort(f[1])
		}
		if err != nil {
			return nil, fmt.Errorf("read printed server %q: %w", line, err)
		}
		all = append(all, s)
		order++
	}
	return all, nil
}
