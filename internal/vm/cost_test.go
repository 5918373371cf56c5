package vm

import (
	"compress/gzip"
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInstructionsAPacketCosts compares lvx with the kernel's IPVS in one
// guest, in instructions of the whole machine.
func TestInstructionsAPacketCosts(t *testing.T) {
	for _, c := range []struct {
		name, model, driver string
		target              float64 // of what IPVS takes, saturated
	}{
		{"igb", "igb", "igb", 0.35},
		{"virtio", VirtIO, "virtio_net", 0.45},
	} {
		t.Run(c.name, func(t *testing.T) {
			if short() {
				t.Skip("not in the short form")
			}
			o := newOutside(t)
			g := boot(t, Config{Kernel: "newest", NICs: o.arguments(c.model)})
			unix.Setpriority(unix.PRIO_PROCESS, g.cmd.Process.Pid, -15) // its first thread, which moves frames
			g.sh("modprobe %s", c.driver)
			g.names(map[string]string{macD0: "d0", macD1: "d1"})
			g.sh(`set -e
				for n in d0 d1; do ethtool -K $n gro off gso off tso off; ip link set $n up; done
				ip link set lo up
				ip addr add 172.25.8.1/24 dev d0; ip addr add %s/32 dev d0; ip addr add %s/24 dev d1
				ip neigh replace 172.25.8.10 lladdr %s nud permanent dev d0
				ip neigh replace 172.25.254.2 lladdr %s nud permanent dev d1
				sysctl -qw net.ipv4.ip_forward=1`, vip, dip, macC0, macS0)
			g.await("carrier", "cat /sys/class/net/d[01]/carrier | grep -c 1 | grep -q 2")

			g.sh(`modprobe ip_vs_rr; ipvsadm -A -u %[1]s:53 -s rr; ipvsadm -a -u %[1]s:53 -r 172.25.254.2:53 -m`, vip)
			ipvs := o.both("IPVS", nil, 128)
			ipvsAlone := o.both("IPVS", nil, 1)
			g.sh("ipvsadm -C; rmmod ip_vs_rr ip_vs")

			l := &lab{g, "--public d0 --private d1", []network{four}}
			l.direct("")
			l.sh("lvx adm -d -u %s:53 -r 172.25.254.3:53", vip)
			t.Logf("%s: mode %s", c.driver, l.mode())
			lvx := o.both("lvx", g.symbols(), 128)
			t.Logf("lvx / IPVS, saturated: %.2f; the target is %.2f", lvx/ipvs, c.target)
			if lvx > ipvs {
				t.Error("lvx costs more than IPVS")
			}
			alone := o.both("lvx", g.symbols(), 1)
			t.Logf("lvx / IPVS, one in flight: %.2f; the target is 2", alone/ipvsAlone)
			l.halt()
		})
	}
}

// both measures both directions and returns their sum. With symbols it says
// where a packet of many flows costs it.
func (o *outside) both(what string, s symbols, window int) float64 {
	o.t.Helper()
	client, server := [2]string{macC0, "172.25.8.10"}, [2]string{macS0, "172.25.254.2"}
	var sum float64
	for _, flows := range []int{1, 1000} {
		in := o.measure(0, datagrams(o.t, client, [2]string{macD0, vip}, 20000, 53, flows, false), window)
		out := o.measure(1, datagrams(o.t, server, [2]string{macD1, "172.25.8.10"}, 20000, 53, flows, true), window)
		o.t.Logf("%s, %d in flight, %d flows: to the server %v, to the client %v", what, window, flows, in, out)
		sum += in.total() + out.total()
		if s != nil && flows > 1 {
			o.t.Logf("to the server:\n%s\nto the client:\n%s", in.table(s), out.table(s))
		}
	}
	return sum
}

// symbols are the functions of lvx and of the kernel that runs.
func (g *guest) symbols() symbols {
	g.t.Helper()
	files, err := built()
	if err != nil {
		g.t.Fatal(err)
	}
	all, err := programSymbols(files["usr/bin/lvx"])
	if err != nil {
		g.t.Fatal(err)
	}
	text := g.sh("grep -i ' [tw] ' /proc/kallsyms | gzip | base64 -w 0")
	unzip, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(text)))
	if err != nil {
		g.t.Fatal(err)
	}
	kernel, err := kernelSymbols(unzip)
	if err != nil {
		g.t.Fatal(err)
	}
	return append(all, kernel...)
}
