package vm

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPktgenAgreesWithTheDirector drives a director by the kernel's packet
// generator, through the scripts in bench/pktgen. What pktgen has sent, the
// director has received; it forwarded that or says why not, and what it
// forwarded the server's kernel has received, with checksums that are right.
func TestPktgenAgreesWithTheDirector(t *testing.T) {
	for _, c := range []struct {
		name, model, driver string
		threads             int
		pace                string // an igb loses what comes too fast for a guest that others keep waiting
		short               bool
	}{
		{"igb", "igb", "igb", 1, " -w 1500000", true},
		{"virtio", VirtIO, "virtio_net", 2, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if short() && !c.short {
				t.Skip("not in the short form")
			}
			l := twoNICs(t, "newest", c.model, c.driver, c.threads)
			l.direct("--conns 8000")
			l.alternates() // else the first frames wait for neighbours, three at most
			l.discards()
			l.pktgen("flood.sh", four, fmt.Sprintf("-F 100 -n 2500 -t %d", c.threads)+c.pace).sends(2500*c.threads).opens(100*c.threads).from("10.0.0", c.threads)
			l.pktgen("flood.sh", four, "-F 130000 -n 2000 -S 10.1.0.1 -p 9-10"+c.pace).sends(2000).from("10.1.0", 3)
			l.pktgen("newflows.sh", four, "-F 130000 -n 3000 -S 10.2.0.1"+c.pace).sends(3000).opens(3000).from("10.2.0", 3)
			l.pktgen("flood.sh", six, "-6 -F 100 -n 2500 -S fd00:10::1"+c.pace).sends(2500).opens(100)
			l.pktgen("newflows.sh", four, "-F 4000 -n 4000 -S 10.3.0.1"+c.pace).sends(4000).drops("drop.table-full")
			l.halt()
		})
	}
}

// discards gives both servers a service whose packets nobody takes or answers:
// there is no way back to the generator's addresses.
func (l *lab) discards() {
	l.t.Helper()
	l.sh("ip -n rs route add blackhole 10.0.0.0/8; ip -n rs route add blackhole fd00:10::/32")
	for _, n := range l.networks {
		for _, port := range []int{9, 10} {
			for line := range strings.Lines(n.rules("-u", port, port)) {
				l.sh("lvx adm %s", line)
			}
		}
	}
}

// flood is what one run of pktgen has changed.
type flood struct {
	*lab
	sent int
	more map[string]int // that the director counts, and "arrived"
}

// pktgen runs a script against a VIP, and waits for the last packet.
func (l *lab) pktgen(script string, n network, args string) flood {
	l.t.Helper()
	before := l.counted()
	out := l.client("sh /pktgen/%s -i c0 -m %s -d %s -p 9 %s", script, macD0, n.vip, args)
	f := flood{lab: l}
	for _, line := range regexp.MustCompile(`usec, (\d+) \(.*\n.* errors: (\d+)`).FindAllStringSubmatch(out, -1) {
		sent, _ := strconv.Atoi(line[1])
		if f.sent += sent; line[2] != "0" {
			l.t.Errorf("pktgen: %s", line[0])
		}
	}
	for range 100 {
		f.more = l.counted()
		for name := range f.more {
			f.more[name] -= before[name]
		}
		if f.more["arrived"]+f.more["dropped"] == f.sent {
			break
		}
		l.sh("sleep 0.1")
	}
	l.t.Logf("%s %s: %d sent, %v", script, args, f.sent, f.more)
	return f
}

var count = regexp.MustCompile(`([a-z][a-z.-]*) +(\d+)\b`)

// counted returns what the director counts, and how many datagrams that nobody
// takes have arrived at the servers.
func (l *lab) counted() map[string]int {
	l.t.Helper()
	counts := map[string]int{}
	for _, found := range count.FindAllStringSubmatch(l.sh("lvx info"), -1) {
		counts[found[1]], _ = strconv.Atoi(found[2])
	}
	arrived := l.sh(`ip netns exec rs awk '/^Udp: [0-9]/ { n += $3 } /^Udp6NoPorts/ { n += $2 } END { print n }' /proc/net/snmp /proc/net/snmp6`)
	counts["arrived"], _ = strconv.Atoi(arrived)
	return counts
}

// sends checks that so many packets were sent, and that all sides agree.
func (f flood) sends(packets int) flood {
	f.t.Helper()
	c := f.more
	if f.sent != packets || c["received"] != packets || c["transmitted"]+c["dropped"] != packets || c["transmitted"] != c["arrived"] {
		f.t.Errorf("%d sent, want %d; the director and the servers: %v", f.sent, packets, c)
	}
	return f
}

// opens checks how many connections there are more.
func (f flood) opens(conns int) flood {
	f.t.Helper()
	if f.more["new-conns"] != conns || f.more["dropped"] != 0 {
		f.t.Errorf("%v, want %d connections", f.more, conns)
	}
	return f
}

// from checks how many addresses of a prefix the packets came from.
func (f flood) from(prefix string, addresses int) {
	f.t.Helper()
	found := map[string]bool{}
	for _, address := range regexp.MustCompile(` `+regexp.QuoteMeta(prefix)+`\.\d+`).FindAllString(f.sh("lvx adm -lnc"), -1) {
		found[address] = true
	}
	if len(found) != addresses {
		f.t.Errorf("packets came from %v, want %d addresses", found, addresses)
	}
}

// drops checks that packets were dropped, all for that reason.
func (f flood) drops(reason string) {
	f.t.Helper()
	if n := f.more["dropped"]; n == 0 || f.more[reason] != n || f.more["arrived"] == 0 {
		f.t.Errorf("%v, want some of all to be %s", f.more, reason)
	}
}
