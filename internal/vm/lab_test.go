package vm

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
)

// The director's addresses in the two-NIC topology.
const (
	vip = "172.25.8.110"
	dip = "172.25.254.1"
)

// network is what the lab has of a version of IP. The second server is a second
// address of the first.
type network struct {
	vip, dip     string
	near, client string // the director's and the client's address beside the VIP
	servers      [2]string
	link, host   int    // lengths of prefixes
	headers      int    // bytes of a frame without tags before a datagram's
	option       string // of new addresses
}

var (
	four = network{vip, dip, "172.25.8.1", "172.25.8.10", [2]string{"172.25.254.2", "172.25.254.3"}, 24, 32, 14 + 20 + 8, ""}
	six  = network{"fd00:8::110", "fd00:254::1", "fd00:8::1", "fd00:8::10", [2]string{"fd00:254::2", "fd00:254::3"}, 64, 128, 14 + 40 + 8, "nodad"}
)

// at is a name for address and port.
func at(address string, port int) string { return net.JoinHostPort(address, strconv.Itoa(port)) }

// lab is a guest with a director between a client (network namespace cl) and
// two servers (rs).
type lab struct {
	*guest
	nics     string // arguments of lvx run
	networks []network
}

// names gives NICs the names that the lab uses, by their MAC addresses.
func (g *guest) names(names map[string]string) {
	g.t.Helper()
	for mac, name := range names {
		g.await("NIC "+name, `n=$(grep -l %s /sys/class/net/*/address | head -n 1) && n=${n%%/address} && n=${n##*/} && ip link set $n down && ip link set $n name %s`, mac, name)
	}
}

// layTwoNICs gives addresses to d0, d1, c0 and s0.
func (g *guest) layTwoNICs() *lab {
	g.t.Helper()
	g.sh("ip netns add cl; ip netns add rs; ip link set c0 netns cl; ip link set s0 netns rs")
	return g.lay("d0", "d1", "c0", "s0")
}

// lay gives addresses to the director's links, the client's and the servers',
// which are in their places.
func (g *guest) lay(public, private, client, server string) *lab {
	g.t.Helper()
	l := &lab{g, fmt.Sprintf("--public %s --private %s", public, private), []network{four, six}}
	l.sh(`set -e
		for n in cl rs; do ip -n $n link set lo up; done
		for n in lo %s %s; do ip link set $n up; done
		ip -n cl link set %s up; ip -n rs link set %s up
		sysctl -qw net.ipv6.conf.all.keep_addr_on_down=1`, public, private, client, server)
	for _, n := range l.networks {
		var text strings.Builder
		add := func(where, address string, bits int, nic string) {
			fmt.Fprintf(&text, "ip %s addr add %s/%d dev %s %s\n", where, address, bits, nic, n.option)
		}
		add("", n.near, n.link, public)
		add("", n.vip, n.host, public)
		add("", n.dip, n.link, private)
		add("-n cl", n.client, n.link, client)
		for _, s := range n.servers {
			add("-n rs", s, n.link, server)
		}
		l.sh("set -e\n%sip -n rs route add default via %s", text.String(), n.dip)
	}
	l.joined()
	l.serve()
	return l
}

// joined waits until client and servers reach the director's kernel.
func (l *lab) joined() {
	l.t.Helper()
	for _, n := range l.networks {
		l.await("links", "ip netns exec cl ping -c 1 -W 1 %s && ip netns exec rs ping -c 1 -W 1 %s", n.near, n.dip)
	}
}

// serve starts servers that say who they are, hold a file of 4 MB, and send
// datagrams back.
func (l *lab) serve() {
	l.t.Helper()
	l.sh(`set -e
		dd if=/dev/urandom of=/tmp/file bs=1M count=4 2>/dev/null
		for s in 0 1; do mkdir -p /tmp/s$s; ln -f /tmp/file /tmp/s$s/file; echo server$s >/tmp/s$s/name; done`)
	for _, n := range l.networks {
		for i, s := range n.servers {
			l.sh(`ip netns exec rs busybox httpd -p %s -h /tmp/s%d || exit
				ip netns exec rs /init echo %s >/dev/null 2>&1 &`, at(s, 8080), i, at(s, 53))
		}
	}
}

// direct starts the director and waits until it forwards.
func (l *lab) direct(args string) {
	l.t.Helper()
	var rules strings.Builder
	for _, n := range l.networks {
		rules.WriteString(n.rules("-t", 80, 8080) + n.rules("-u", 53, 53))
	}
	l.sh(`echo '%s' >/tmp/rules
		lvx run %s --rules /tmp/rules %s >/tmp/lvx.out 2>/tmp/lvx.log & echo $! >/tmp/lvx.pid`, rules.String(), l.nics, args)
	l.await("the director", "grep -q ready /tmp/lvx.out || { ! kill -0 $(cat /tmp/lvx.pid) && cat /tmp/lvx.log && exit 1; }")
}

// rules are the commands for a service of both servers.
func (n network) rules(protocol string, port, real int) string {
	service := fmt.Sprintf("%s %s", protocol, at(n.vip, port))
	rules := fmt.Sprintf("-A %s -s rr\n", service)
	for _, s := range n.servers {
		rules += fmt.Sprintf("-a %s -r %s -m\n", service, at(s, real))
	}
	return rules
}

// halt ends the director as systemd would.
func (l *lab) halt() {
	l.t.Helper()
	l.sh("kill $(cat /tmp/lvx.pid)")
	l.await("the director's end", "! kill -0 $(cat /tmp/lvx.pid) 2>/dev/null")
}

var modeLine = regexp.MustCompile(`AF_XDP mode (\w+)`)

// mode is what the director says that it has obtained.
func (l *lab) mode() string {
	l.t.Helper()
	found := modeLine.FindStringSubmatch(l.sh("lvx info"))
	if found == nil {
		l.t.Fatal("lvx info names no mode")
	}
	return found[1]
}

// client runs a command where the client is.
func (l *lab) client(format string, args ...any) string {
	l.t.Helper()
	return l.sh("ip netns exec cl "+format, args...)
}

// alternates checks that four requests are answered by both servers in turn.
func (l *lab) alternates() {
	l.t.Helper()
	for _, n := range l.networks {
		got := strings.Fields(l.client("bash -c 'for i in 1 2 3 4; do curl -s -m 40 http://%s/name || exit 1; done'", at(n.vip, 80)))
		if len(got) != 4 || got[0] == got[1] || got[0] != got[2] || got[1] != got[3] {
			l.t.Errorf("answers of %s: %v, want both servers in turn", n.vip, got)
		}
	}
}

// downloads checks that 4 MB arrive as they were sent.
func (l *lab) downloads(n network) {
	l.t.Helper()
	l.client("curl -s -m 150 -o /tmp/got http://%s/file", at(n.vip, 80))
	l.sh("cmp /tmp/file /tmp/got")
}

// echoes sends a datagram of that size from each of so many ports and checks
// that they come back as they were.
func (l *lab) echoes(n network, size, ports int) {
	l.t.Helper()
	out := l.client("/init ask %s %d 20001 %d", at(n.vip, 53), size, ports)
	if came, err := strconv.Atoi(out[strings.LastIndexByte(out, '\n')+1:]); err != nil || came != ports {
		l.t.Errorf("%d datagrams of %d bytes to %s: %s", ports, size, n.vip, out)
	}
}
