package vm

import (
	"strings"
	"testing"
)

// TestTwoWorkersOfARealDriver: igb hashes both sides or none, so two workers
// hand frames over, and how it places packets stays as it was.
func TestTwoWorkersOfARealDriver(t *testing.T) {
	l := twoNICs(t, "newest", "igb", "igb", 2)
	placing := func() (text string) {
		for _, nic := range []string{"d0", "d1"} {
			text += l.sh("ethtool -x %[1]s; for k in tcp4 udp4 tcp6 udp6; do ethtool -n %[1]s rx-flow-hash $k; done", nic)
		}
		return text
	}
	for _, nic := range []string{"d0", "d1"} {
		l.sh("ethtool -L %s combined 2; ethtool -N %s rx-flow-hash udp4 sdfn", nic, nic)
	}
	before := placing()
	l.direct("--workers 2")
	if during := placing(); during != before {
		t.Errorf("before\n%s\nwhile it runs\n%s", before, during)
	}
	if log := l.sh("cat /tmp/lvx.log"); !strings.Contains(log, "hand frames over") || !strings.Contains(log, "hash sf of tcp4: set hash fields of d0: invalid argument") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	l.alternates()
	l.echoes(four, 1, flows)
	l.forwards()
	info := l.sh("lvx info")
	for _, want := range []string{"2 workers, frames come to their owner by hand-over", " handed "} {
		if !strings.Contains(info, want) {
			t.Errorf("info lacks %q:\n%s", want, info)
		}
	}
	l.halt()
	if after := placing(); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	t.Logf("igb:\n%s", before)
}
