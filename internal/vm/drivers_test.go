package vm

import "testing"

// The MAC addresses of director, client and server.
const (
	macD0 = "02:00:00:00:00:d0"
	macD1 = "02:00:00:00:00:d1"
	macC0 = "02:00:00:00:00:c0"
	macS0 = "02:00:00:00:00:50"
)

// twoNICs boots a machine with two NICs of that model for the director, and
// two others for client and server.
func twoNICs(t *testing.T, kernel, model, driver string, cpus int) *lab {
	t.Helper()
	if model == "veth" {
		g := boot(t, Config{Kernel: kernel, CPUs: cpus})
		g.sh("modprobe veth; ip link add d0 type veth peer name c0; ip link add d1 type veth peer name s0")
		return g.layTwoNICs()
	}
	other, otherDriver := "e1000e", "e1000e"
	if model == other {
		other, otherDriver = "igb", "igb"
	}
	g := boot(t, Config{Kernel: kernel, CPUs: cpus, NICs: Arguments(
		NIC{model, macD0, 1}, NIC{model, macD1, 2}, NIC{other, macC0, 1}, NIC{other, macS0, 2})})
	g.sh("modprobe %s; modprobe %s", driver, otherDriver)
	g.names(map[string]string{macD0: "d0", macD1: "d1", macC0: "c0", macS0: "s0"})
	return g.layTwoNICs()
}

func TestEveryDriverForwardsInItsBestMode(t *testing.T) {
	for _, c := range []struct {
		name, kernel, model, driver, mode string
		short                             bool
	}{
		{"igb", "newest", "igb", "igb", "zerocopy", true},
		{"virtio behind an IOMMU", "newest", VirtIO, "virtio_net", "zerocopy", true},
		{"virtio", "newest", "virtio-net-pci", "virtio_net", "native", false},
		{"vmxnet3", "newest", "vmxnet3", "vmxnet3", "native", false},
		{"e1000e", "newest", "e1000e", "e1000e", "generic", false},
		{"veth", "newest", "veth", "veth", "native", false},
		{"igb on 6.12", "6.12", "igb", "igb", "native", false},
		{"igb on 6.1", "6.1", "igb", "igb", "native", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if short() && !c.short {
				t.Skip("not in the short form")
			}
			l := twoNICs(t, c.kernel, c.model, c.driver, 1)
			was := l.moderation()
			l.direct("")
			if mode := l.mode(); mode != c.mode {
				t.Errorf("mode %s, want %s", mode, c.mode)
			} else {
				t.Logf("%s: mode %s", c.driver, mode)
			}
			if now := l.moderation(); c.driver == "igb" && c.mode == "zerocopy" && now != "0 0" {
				t.Errorf("moderation while the director runs: %s", now)
			}
			l.forwards()
			l.flaps("d1")
			l.alternates()
			l.halt()
			if now := l.moderation(); now != was {
				t.Errorf("moderation at the end: %s, it was: %s", now, was)
			}
			l.joined()
		})
	}
}

// moderation returns for how many microseconds the director's NICs put off
// interrupts about sending.
func (l *lab) moderation() string {
	l.t.Helper()
	return l.sh(`for n in d0 d1; do ethtool -c $n 2>/dev/null | sed -n 's/^tx-usecs:\s*//p'; done | xargs echo`)
}

// forwards checks everything that a director is there for. Without tags the
// datagrams make the smallest frames, those around 1,024 bytes, and the largest.
func (l *lab) forwards() {
	l.t.Helper()
	l.alternates()
	for _, n := range l.networks {
		for _, size := range []int{1, 1024 - n.headers, 1025 - n.headers, 1514 - n.headers} {
			l.echoes(n, size, 2)
		}
		l.downloads(n)
		l.client("ping -c 1 -W 5 %s", n.vip)
	}
}

// flaps takes a NIC down and up again.
func (l *lab) flaps(nic string) {
	l.t.Helper()
	l.sh("ip link set %s down", nic)
	for _, n := range l.networks {
		if _, ok := l.try("ip netns exec cl curl -s -m 5 http://%s/name", at(n.vip, 80)); ok {
			l.t.Errorf("%s answered although %s is down", n.vip, nic)
		}
	}
	l.sh("ip link set %s up", nic)
	for _, n := range l.networks {
		l.await("an answer after "+nic+" went down and up", "ip netns exec cl curl -s -m 5 http://%s/name", at(n.vip, 80))
	}
}
