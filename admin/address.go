package admin

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/service"
)

var wholeMask = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// address reads host[:port] as ipvsadm does: IPv6 with a port stands in
// brackets; brackets without a port are wrong; a port in brackets around
// anything else is lost.
func (n *Names) address(text string, proto service.Protocol) (addr netip.AddrPort, hasPort, ok bool) {
	if strings.Trim(text, "0123456789") == "" {
		return addr, false, false
	}
	host, port := text, ""
	if text[0] == '[' {
		if host, port, hasPort = strings.Cut(text[1:], "]:"); !hasPort || strings.Contains(host, "]") {
			return addr, false, false
		}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Is6() || ip.Zone() != "" {
		hasPort = false
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			host, port, hasPort = host[:i], host[i+1:], true
		}
		if ip, ok = n.addr4(host); !ok {
			return addr, false, false
		}
	}
	if ip.Is4In6() {
		return addr, false, false // neither family: on the wire it would be IPv4
	}
	if !hasPort {
		return netip.AddrPortFrom(ip, 0), false, true
	}
	number, ok := n.portOf(port, proto)
	return netip.AddrPortFrom(ip, number), true, ok
}

func (n *Names) portOf(text string, proto service.Protocol) (uint16, bool) {
	if number, ok := parseNumber(text, 0, math.MaxUint16); ok {
		return uint16(number), true
	}
	return n.Number(proto, text)
}

// addr4 reads an IPv4 address in any of the forms of inet_aton, or a host's
// name.
func (n *Names) addr4(text string) (netip.Addr, bool) {
	if ip, ok := parseIPv4(text); ok {
		return ip, true
	}
	if text == "" {
		return netip.Addr{}, false
	}
	ip, ok := n.Addr(text)
	return ip, ok && ip.Is4()
}

// parseIPv4 reads what inet_aton reads: one to four numbers, decimal, octal
// or hexadecimal, the last one filling the bytes that are left. Whatever
// follows white space is ignored.
func parseIPv4(text string) (netip.Addr, bool) {
	if i := strings.IndexAny(text, " \t\n\v\f\r"); i >= 0 {
		text = text[:i]
	}
	parts := strings.Split(text, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var sum uint32
	for i, part := range parts {
		width := 8
		if i == len(parts)-1 {
			width = 8 * (4 - i)
		}
		n, ok := parseUnsigned(part, width)
		if !ok {
			return netip.Addr{}, false
		}
		sum = sum<<width | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}

// parseUnsigned reads a number in the notation of C.
func parseUnsigned(text string, width int) (uint32, bool) {
	base := 10
	switch hex := strings.HasPrefix(text, "0x") || strings.HasPrefix(text, "0X"); {
	case hex:
		text, base = text[2:], 16
	case len(text) > 1 && text[0] == '0':
		base = 8
	}
	n, err := strconv.ParseUint(text, base, width)
	return uint32(n), err == nil
}

// parseNumber reads a whole number as strtol does, white space and sign in
// front allowed.
func parseNumber(text string, low, high int64) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimLeft(text, " \t\n\v\f\r"), 10, 64)
	return n, err == nil && low <= n && n <= high
}

// leadingNumber reads the digits at the beginning of text, as atoi does.
func leadingNumber(text string) int {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	end := len(text)
	for i, c := range text {
		if (c < '0' || c > '9') && (i > 0 || c != '-' && c != '+') {
			end = i
			break
		}
	}
	n, err := strconv.Atoi(text[:end])
	if err != nil {
		return 0
	}
	return n
}

// maxTimeout is 31 days.
const maxTimeout = 31 * 24 * 60 * 60

func parseTimeout(text string, low int64) (time.Duration, error) {
	n, ok := parseNumber(text, low, maxTimeout)
	if !ok {
		return 0, usage("invalid timeout value `%s' specified", text)
	}
	return time.Duration(n) * time.Second, nil
}
