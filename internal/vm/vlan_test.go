package vm

import "testing"

// A VLAN network: one NIC of the director carries the clients in VLAN 10 and
// the servers in VLAN 20.
func TestVLANsOfOneNICForward(t *testing.T) {
	for _, c := range []struct {
		name, mode string
		lay        func(t *testing.T) *guest
		short      bool
	}{
		{"igb", "zerocopy", vlanOnIGB, true},
		{"virtio", "zerocopy", vlanOnVirtIO, false},
		{"veth", "native", vlanOnVeth, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if short() && !c.short {
				t.Skip("not in the short form")
			}
			l := c.lay(t).layVLANs()
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
	l.await("NICs of a director that was killed", "ip netns exec cl ping -c 1 -W 1 172.25.8.1 && ip netns exec rs ping -c 1 -W 1 %s", dip)
	l.await("a start after the crash", "timeout 20 lvx run %s >/tmp/lvx.out 2>/tmp/lvx.log & p=$!; sleep 4; grep -q ready /tmp/lvx.out; r=$?; kill $p; wait $p; exit $r", l.nics)
	if now := l.offloads(); now != was {
		l.t.Errorf("VLAN offloads after crash, start and end: %s, they were: %s", now, was)
	}
}

// passesUp checks frames that only the director's kernel answers: they came by
// the director's sockets and take the way back to a VLAN device.
func (l *lab) passesUp() {
	l.t.Helper()
	// All fragments to a VIP are taken; an echo request is the kernel's.
	l.client("ping -c 2 -i 0.3 -W 5 -s 3000 %s", vip)
	l.sh("ip netns exec rs ping -c 2 -i 0.3 -W 5 -s 3000 %s", dip)
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

// layVLANs gives VLANs and addresses to d0 and, in two network namespaces, to
// the NIC far at the other end.
func (g *guest) layVLANs() *lab {
	g.t.Helper()
	g.sh(`set -e
		modprobe 8021q
		ip netns add cl; ip netns add rs
		for v in 10 20; do
			ip link add link d0 name d0.$v type vlan id $v
			ip link add link far name far.$v type vlan id $v
		done
		ip link set far.10 netns cl; ip link set far.20 netns rs
		for n in cl rs; do ip -n $n link set lo up; done
		ip link set lo up; ip link set d0 up; ip link set far up
		ip addr add 172.25.8.1/24 dev d0.10; ip addr add %s/32 dev d0.10; ip addr add %s/24 dev d0.20
		ip link set d0.10 up; ip link set d0.20 up
		ip -n cl addr add 172.25.8.10/24 dev far.10; ip -n cl link set far.10 up
		ip -n rs addr add 172.25.254.2/24 dev far.20; ip -n rs addr add 172.25.254.3/24 dev far.20; ip -n rs link set far.20 up
		ip -n rs route add default via %s`, vip, dip, dip)
	l := &lab{g, "--public d0.10 --private d0.20"}
	l.await("links", "ip netns exec cl ping -c 1 -W 1 172.25.8.1 && ip netns exec rs ping -c 1 -W 1 %s", dip)
	l.serve()
	return l
}
