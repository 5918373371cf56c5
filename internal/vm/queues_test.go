package vm

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// flows is enough for RSS to give every queue some of them.
const flows = 64

func TestEveryQueueForwards(t *testing.T) {
	for _, queues := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("igb with %d", queues), func(t *testing.T) {
			if short() && queues != 2 {
				t.Skip("not in the short form")
			}
			l := twoNICs(t, "newest", "igb", "igb", queues)
			for _, nic := range []string{"d0", "d1"} {
				l.sh("ethtool -L %s combined %d || [ %d = 1 ]; ethtool -N %s rx-flow-hash udp4 sdfn", nic, queues, queues, nic)
			}
			l.direct("")
			if mode := l.mode(); mode != "zerocopy" {
				t.Errorf("mode %s", mode)
			}
			l.alternates() // else the first frames wait for neighbours, three at most
			before := map[string][]int{"d0": l.received("d0", queues), "d1": l.received("d1", queues)}
			l.echoes(1, flows)
			for nic, was := range before {
				spread := l.received(nic, queues)
				for q := range spread {
					if spread[q] -= was[q]; spread[q] == 0 {
						t.Errorf("%s: queue %d has received nothing", nic, q)
					}
				}
				t.Logf("%d queues of %s received %v frames of %d flows", queues, nic, spread, flows)
			}
			l.forwards()
			l.halt()
		})
	}
}

// received returns how many frames each queue has received.
func (l *lab) received(nic string, queues int) []int {
	l.t.Helper()
	counts := make([]int, queues)
	for line := range strings.Lines(l.sh("ethtool -S %s", nic)) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), ": ")
		for q := range counts {
			if name == fmt.Sprintf("rx_queue_%d_packets", q) {
				counts[q], _ = strconv.Atoi(count)
			}
		}
	}
	return counts
}
