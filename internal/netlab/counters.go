package netlab

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// Counters returns what the kernel counted at nic, as `ip -s link` shows it.
func (h *Host) Counters(nic string) (c netlink.LinkStatistics64, err error) {
	attrs, err := h.NIC(nic)
	if err == nil && attrs.Statistics != nil {
		c = netlink.LinkStatistics64(*attrs.Statistics)
	}
	return c, err
}

// Snmp returns a protocol counter of the host's kernel from /proc/net/snmp,
// named as there: "Tcp", "InCsumErrors". A counter of "Udp6", "Ip6" or "Icmp6"
// is read from /proc/net/snmp6.
func (h *Host) Snmp(protocol, counter string) (uint64, error) {
	file := "/proc/thread-self/net/snmp"
	if strings.HasSuffix(protocol, "6") {
		file += "6"
	}
	var text []byte
	err := h.Do(func() (err error) {
		text, err = os.ReadFile(file)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read %s of %s: %w", file, h.Name, err)
	}
	v, ok := snmpValue(string(text), protocol, counter)
	if !ok {
		return 0, fmt.Errorf("read %s of %s: no %s %s", file, h.Name, protocol, counter)
	}
	return v, nil
}

// snmpValue finds a counter in either form of file: a line of names above a
// line of values, or one name and value a line.
func snmpValue(text, protocol, counter string) (uint64, bool) {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == protocol+counter:
			return number(f[1])
		case len(f) > 2 && f[0] == protocol+":" && names == nil:
			names = f
		case len(f) > 2 && f[0] == protocol+":":
			for i, name := range names {
				if name == counter && i < len(f) {
					return number(f[i])
				}
			}
		}
	}
	return 0, false
}

func number(s string) (uint64, bool) {
	v, err := strconv.ParseUint(s, 10, 64)
	return v, err == nil
}
