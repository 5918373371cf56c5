package vm

import "testing"

// A VLAN network: one NIC of the director carries the clients in VLAN 10 and
// the servers in VLAN 20, and both perhaps in a VLAN of a provider.
func TestVLANsOfOneNICForward(t *testing.T) {
	for _, c := range []struct {
		name, mode string
		nics       func(t *testing.T) *guest
		outer      string // a dot and the tag of the 802.1ad VLAN around those two
		short      bool
	}{
		{"igb", "zerocopy", vlanOnIGB, "", false},
		{"igb with two tags", "zerocopy", vlanOnIGB, ".100", true},
		{"virtio", "zerocopy", vlanOnVirtIO, "", false},
		{"virtio with two tags", "zerocopy", vlanOnVirtIO, ".100", false},
		{"veth", "native", vlanOnVeth, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if short() && !c.short {
				t.Skip("not in the short form")
			}
			l := c.nics(t).layVLANs(c.outer)
			was := l.offloads()
			l.direct("")
			if mode := l.mode(); mode != c.mode {
				t.Errorf("mode %s, want %s", mode, c.mode)
			}
			if now := l.offloads(); now != "off off" {
				t.Errorf("VLAN offloads while the director runs: %s", now)
			}
			if c.name == "veth" {
				l.sh("grep 'txvlan off' /tmp/lvx.log; ethtool -K far txvlan off")
			}
			l.forwards()
			l.passesUp()
			l.halt()
			if now := l.offloads(); now != was {
				t.Errorf("VLAN offloads at the end: %s, they were: %s", now, was)
			}
			l.crashes(was)
		})
	}
}

// crashes kills the director and checks that the next one puts the offloads
// back.
func (l *lab) crashes(was string) {
	l.t.Helper()
	l.direct("")
	l.sh("kill -9 $(cat /tmp/lvx.pid)")
	l.await("the director's end", "! kill -0 $(cat /tmp/lvx.pid) 2>/dev/null")
	if now := l.offloads(); now != "off off" {
		l.t.Errorf("VLAN offloads after a crash: %s", now)
	}
	l.joined()
	l.direct("")
	l.halt()
	if now := l.offloads(); now != was {
		l.t.Errorf("VLAN offloads after crash, start and end: %s, they were: %s", now, was)
	}
}

// passesUp checks frames that only the director's kernel answers: they came by
// the director's sockets and take the way back to a VLAN device.
func (l *lab) passesUp() {
	l.t.Helper()
	// All fragments to a VIP are taken; an echo request is the kernel's.
	for _, n := range l.networks {
		l.client("ping -c 2 -i 0.3 -W 5 -s 3000 %s", n.vip)
		l.sh("ip netns exec rs ping -c 2 -i 0.3 -W 5 -s 3000 %s", n.dip)
	}
	if up := l.sh("lvx info | sed -n 's/.*passed up \\([0-9]*\\).*/\\1/p'"); up == "" || up == "0" {
		l.t.Errorf("passed up: %q frames", up)
	}
}

// offloads returns the states of rxvlan and txvlan.
func (l *lab) offloads() string {
	l.t.Helper()
	return l.sh(`ethtool -k d0 | sed -n 's/^[rt]x-vlan-offload: \(o[nf]*\).*/\1/p' | xargs echo`)
}

func vlanOnIGB(t *testing.T) *guest    { return vlanOnNIC(t, "igb", "igb") }
func vlanOnVirtIO(t *testing.T) *guest { return vlanOnNIC(t, VirtIO, "virtio_net") }

func vlanOnNIC(t *testing.T, model, driver string) *guest {
	t.Helper()
	g := boot(t, Config{Kernel: "newest", NICs: Arguments(NIC{model, macD0, 1}, NIC{"e1000e", macC0, 1})})
	g.sh("modprobe %s; modprobe e1000e", driver)
	g.names(map[string]string{macD0: "d0", macC0: "far"})
	return g
}

func vlanOnVeth(t *testing.T) *guest {
	t.Helper()
	g := boot(t, Config{Kernel: "newest"})
	g.sh("modprobe veth; ip link add d0 numrxqueues 1 numtxqueues 1 type veth peer name far numrxqueues 1 numtxqueues 1")
	return g
}

// layVLANs gives VLANs to d0 and, for two network namespaces, to the NIC far at
// the other end. NICs with two tags need a larger MTU for full packets.
func (g *guest) layVLANs(outer string) *lab {
	g.t.Helper()
	g.sh("modprobe 8021q; ip netns add cl; ip netns add rs")
	if outer != "" {
		g.sh(`set -e
			for n in d0 far; do
				ip link set $n mtu 1504
				ip link add link $n name $n%[1]s mtu 1504 type vlan proto 802.1ad id %[2]s
			done`, outer, outer[1:])
	}
	g.sh(`set -e
		for n in d0 far; do
			ip link set $n up; ip link set $n%[1]s up
			for v in 10 20; do ip link add link $n%[1]s name $n%[1]s.$v mtu 1500 type vlan id $v; done
		done
		ip link set far%[1]s.10 netns cl; ip link set far%[1]s.20 netns rs`, outer)
	return g.lay("d0"+outer+".10", "d0"+outer+".20", "far"+outer+".10", "far"+outer+".20")
}
