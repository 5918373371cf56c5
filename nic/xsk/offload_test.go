package xsk

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestOffloadsAreTurnedOffAndOnOneByOne(t *testing.T) {
	inLab(t, func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "q"}, PeerName: "qfar"}))
		const both = ReceiveVLAN | TransmitVLAN
		steps := []struct {
			which Offload
			on    bool
			want  Offload
		}{
			{both, true, both}, // as a veth begins
			{ReceiveVLAN, false, TransmitVLAN},
			{ReceiveVLAN, false, TransmitVLAN},
			{both, false, 0},
			{TransmitVLAN, true, TransmitVLAN},
			{both, true, both},
		}
		for i, s := range steps {
			must(t, SetOffloads("q", s.which, s.on))
			if got, err := Offloads("q"); err != nil || got != s.want {
				t.Errorf("step %d: %#x, %v; want %#x", i, got, err, s.want)
			}
		}
	})
}

func TestOffloadsAreThoseThatEthtoolShows(t *testing.T) {
	if _, err := exec.LookPath("ethtool"); err != nil {
		t.Skip("needs ethtool")
	}
	inLab(t, func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "q"}, PeerName: "qfar"}))
		must(t, SetOffloads("q", ReceiveVLAN, false))
		shown, err := exec.Command("ethtool", "-k", "q").Output()
		must(t, err)
		for _, line := range []string{"rx-vlan-offload: off", "tx-vlan-offload: on"} {
			if !strings.Contains(string(shown), line) {
				t.Errorf("ethtool does not say %q", line)
			}
		}
	})
}

func TestOffloadsThatCannotBeChangedAreRefused(t *testing.T) {
	inLab(t, func() {
		if err := SetOffloads("lo", ReceiveVLAN, true); !errors.Is(err, ErrOffload) {
			t.Errorf("lo: %v, want %v", err, ErrOffload)
		}
		for name, set := range map[string]func() error{
			"nobody":          func() error { return SetOffloads("nobody", ReceiveVLAN, true) },
			"a name too long": func() error { return SetOffloads("a-name-that-is-too-long", ReceiveVLAN, true) },
		} {
			if set() == nil {
				t.Errorf("%s: offloads were set", name)
			}
		}
		if got, err := Offloads("lo"); err != nil || got != 0 {
			t.Errorf("lo: %#x, %v", got, err)
		}
	})
}
