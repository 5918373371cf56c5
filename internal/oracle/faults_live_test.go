package oracle

import (
	"slices"
	"testing"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/internal/vm"
)

// liveFaults are planted around lvx as a program, where no twin is: in its
// options, in what the kernel tells it, and where it passes frames up.
var liveFaults = []struct{ name, scenario, options, before, after string }{
	{"it does not know to be strict", "golden-udp-zerocsum-live", "--public pub0 --private prv0 --conns 4096", "", ""},
	{"answers are not steered", "path-mtu", "--strict --nic pub0 --conns 4096", "", ""},
	{"the mirror has lost a route's MTU", "path-mtu", strictly,
		"ip -n lvx route replace 10.1.0.15/32 dev prv0", "ip -n lvx route replace 10.1.0.15/32 dev prv0 mtu lock 1200"},
	{"nobody takes what it passes up", "golden-nosvc-rs-out", strictly,
		"ip netns exec lvx sysctl -qw net.ipv4.ip_forward=0", "ip netns exec lvx sysctl -qw net.ipv4.ip_forward=1"},
}

// called returns the scenario of that name, nil if there is none.
func called(all []*record.Scenario, name string) *record.Scenario {
	if at := slices.IndexFunc(all, func(s *record.Scenario) bool { return s.Scenario == name }); at >= 0 {
		return all[at]
	}
	return nil
}

// findLiveFaults plants one after the other and looks for it with the same
// comparison.
func findLiveFaults(t *testing.T, guest *vm.Machine, recording []*record.Scenario) {
	t.Helper()
	for _, f := range liveFaults {
		s := called(recording, f.scenario)
		if s == nil {
			t.Errorf("%s: there is no scenario %s", f.name, f.scenario)
			continue
		}
		sh(t, guest, f.before)
		ran := play(t, guest, "/faults/"+f.scenario, f.options)
		sh(t, guest, f.after)
		d := agrees(t, s, ran[0], newTally())
		if len(d) == 0 {
			t.Errorf("lvx as a program, %s: not found", f.name)
			continue
		}
		t.Logf("lvx as a program, %s: found in scenario %s, step %d: %s", f.name, s.Scenario, d[0].step+1, d[0].what)
	}
}

// sh runs a shell command in the guest, if there is one.
func sh(t *testing.T, guest *vm.Machine, command string) {
	t.Helper()
	if command == "" {
		return
	}
	if out, code, err := guest.Run(command, forever); code != 0 || err != nil {
		t.Fatalf("%s: status %d: %s %v", command, code, out, err)
	}
}
