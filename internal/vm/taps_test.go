package vm

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/lvx-lb/lvx/internal/netlab"
)

// onTAPs boots a machine whose director has two virtio-nets of several queues.
// QEMU has more than one only for TAP devices: those are in a network namespace
// of this machine, where bridges join them with the ones of client and server.
// There is no vhost: the guest's driver would not notice it.
func onTAPs(t *testing.T, queues, cpus int) *lab {
	t.Helper()
	away := switchboard(t)
	var args []string
	for i, n := range []struct{ model, mac, tap string }{
		{VirtIO + fmt.Sprintf(",mq=on,vectors=%d", 2*queues+2), macD0, fmt.Sprintf("d0,queues=%d", queues)},
		{VirtIO + fmt.Sprintf(",mq=on,vectors=%d", 2*queues+2), macD1, fmt.Sprintf("d1,queues=%d", queues)},
		{"e1000e", macC0, "c0"}, {"e1000e", macS0, "s0"},
	} {
		args = append(args,
			"-device", fmt.Sprintf("pcie-root-port,id=port%d,chassis=%d", i, i+1),
			"-netdev", fmt.Sprintf("tap,id=net%d,script=no,downscript=no,ifname=%s", i, n.tap),
			"-device", fmt.Sprintf("%s,bus=port%d,netdev=net%d,mac=%s,romfile=", n.model, i, i, n.mac))
	}
	g := boot(t, Config{Kernel: "newest", CPUs: cpus, NICs: args, Within: away.Do})
	g.sh("modprobe virtio_net; modprobe e1000e")
	g.names(map[string]string{macD0: "d0", macD1: "d1", macC0: "c0", macS0: "s0"})
	return g.layTwoNICs()
}

// switchboard makes a host with the bridges d0-c0 and d1-s0.
func switchboard(t *testing.T) *netlab.Host {
	t.Helper()
	l, err := netlab.New()
	if errors.Is(err, netlab.ErrNotRoot) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h, err := l.Host("switch")
	if err != nil {
		t.Fatal(err)
	}
	for bridge, taps := range map[string][2]string{"public": {"d0", "c0"}, "private": {"d1", "s0"}} {
		err := errors.Join(h.Bridge(bridge), h.Do(func() error {
			return errors.Join(tap(taps[0], netlink.TUNTAP_MULTI_QUEUE_DEFAULTS), tap(taps[1], netlink.TUNTAP_NO_PI))
		}))
		for _, name := range taps {
			err = errors.Join(err, h.Up(name), h.Bridged(bridge, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// tap makes a TAP device, which QEMU opens.
func tap(name string, flags netlink.TuntapFlag) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	device := &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP, Flags: flags, Queues: 1}
	err := netlink.LinkAdd(device)
	for _, f := range device.Fds {
		err = errors.Join(err, f.Close())
	}
	return err
}
