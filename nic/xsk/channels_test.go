package xsk

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestReceiveQueuesInUseAreCounted(t *testing.T) {
	inLab(t, func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "q", NumRxQueues: 3, NumTxQueues: 2}, PeerName: "qfar"}))
		for name, want := range map[string]int{"q": 3, "lo": 1} {
			if n, err := Queues(name); err != nil || n != want {
				t.Errorf("%s: %d, %v; want %d", name, n, err, want)
			}
		}
		if _, err := Queues("nobody"); err == nil {
			t.Error("counted the queues of a NIC that does not exist")
		}
	})
}

func TestTheCommandForMoreQueuesIsTheDriversOwn(t *testing.T) {
	inLab(t, func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "q", NumRxQueues: 3, NumTxQueues: 2}, PeerName: "qfar"}))
		for queues, want := range map[int]string{2: "ethtool -L q rx 2 tx 2", 3: ""} {
			if got := Resize("q", queues); got != want {
				t.Errorf("%d queues: %q, want %q", queues, got, want)
			}
		}
		if got := Resize("lo", 2); got != "" {
			t.Errorf("lo: %q", got)
		}
	})
}

func TestAQueueThatOnlyReceivesIsRefused(t *testing.T) {
	inLab(t, func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "q", NumRxQueues: 3, NumTxQueues: 2}, PeerName: "qfar"}))
		ifindex := linkNamed(t, "q").Attrs().Index
		for queue, want := range []error{nil, nil, ErrTransmit, ErrNotSupported} {
			if err := Probe(ifindex, queue, Native); !errors.Is(err, want) {
				t.Errorf("queue %d: %v, want %v", queue, err, want)
			}
		}
		if err := Probe(99, 0, Native); err == nil {
			t.Error("probed a NIC that does not exist")
		}
	})
}
