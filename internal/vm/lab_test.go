package vm

import (
	"regexp"
	"strconv"
	"strings"
)

// The addresses of the two-NIC topology. The second server is a second
// address of the first.
const (
	vip = "172.25.8.110"
	dip = "172.25.254.1"
)

// lab is a guest with a director between a client (network namespace cl) and
// two servers (rs).
type lab struct {
	*guest
	nics string // arguments of lvx run
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
	g.sh(`set -e
		ip netns add cl; ip netns add rs
		ip link set c0 netns cl; ip link set s0 netns rs
		for n in cl rs; do ip -n $n link set lo up; done
		ip addr add 172.25.8.1/24 dev d0; ip addr add %s/32 dev d0; ip addr add %s/24 dev d1
		ip -n cl addr add 172.25.8.10/24 dev c0
		ip -n rs addr add 172.25.254.2/24 dev s0; ip -n rs addr add 172.25.254.3/24 dev s0
		ip link set lo up; ip link set d0 up; ip link set d1 up
		ip -n cl link set c0 up; ip -n rs link set s0 up
		ip -n rs route add default via %s`, vip, dip, dip)
	l := &lab{g, "--public d0 --private d1"}
	l.await("links", "ip netns exec cl ping -c 1 -W 1 172.25.8.1 && ip netns exec rs ping -c 1 -W 1 %s", dip)
	l.serve()
	return l
}

// serve starts servers that say who they are, hold a file of 4 MB, and send
// datagrams back.
func (l *lab) serve() {
	l.t.Helper()
	l.sh(`set -e
		dd if=/dev/urandom of=/tmp/file bs=1M count=4 2>/dev/null
		for s in 2 3; do
			mkdir -p /tmp/s$s; ln -f /tmp/file /tmp/s$s/file; echo server$s >/tmp/s$s/name
			ip netns exec rs busybox httpd -p 172.25.254.$s:8080 -h /tmp/s$s
			ip netns exec rs /init echo 172.25.254.$s:53 >/dev/null 2>&1 &
		done`)
}

// direct starts the director and waits until it forwards.
func (l *lab) direct(args string) {
	l.t.Helper()
	l.sh(`cat >/tmp/rules <<-.
		-A -t %[1]s:80 -s rr
		-a -t %[1]s:80 -r 172.25.254.2:8080 -m
		-a -t %[1]s:80 -r 172.25.254.3:8080 -m
		-A -u %[1]s:53 -s rr
		-a -u %[1]s:53 -r 172.25.254.2:53 -m
		-a -u %[1]s:53 -r 172.25.254.3:53 -m
		.
		lvx run %[2]s --rules /tmp/rules %[3]s >/tmp/lvx.out 2>/tmp/lvx.log & echo $! >/tmp/lvx.pid`, vip, l.nics, args)
	l.await("the director", "grep -q ready /tmp/lvx.out || { ! kill -0 $(cat /tmp/lvx.pid) && cat /tmp/lvx.log && exit 1; }")
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
	got := strings.Fields(l.client("bash -c 'for i in 1 2 3 4; do curl -s -m 40 http://%s/name || exit 1; done'", vip))
	if len(got) != 4 || got[0] == got[1] || got[0] != got[2] || got[1] != got[3] {
		l.t.Errorf("answers: %v, want both servers in turn", got)
	}
}

// downloads checks that 4 MB arrive as they were sent.
func (l *lab) downloads() {
	l.t.Helper()
	l.client("curl -s -m 150 -o /tmp/got http://%s/file", vip)
	l.sh("cmp /tmp/file /tmp/got")
}

// echoes sends a datagram of that size from each of so many ports and returns
// how many came back as they were.
func (l *lab) echoes(size, ports int) int {
	l.t.Helper()
	out := l.client("/init ask %s:53 %d 20001 %d", vip, size, ports)
	n, err := strconv.Atoi(out[strings.LastIndexByte(out, '\n')+1:])
	if err != nil || n != ports {
		l.t.Errorf("%d datagrams of %d bytes: %s", ports, size, out)
	}
	return n
}
