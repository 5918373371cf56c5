package vm

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// ofIGB is igb's name for what a queue has received.
const ofIGB = "rx_queue_%d_packets"

// flows is enough for RSS to give every queue some of them.
const flows = 64

func TestEveryQueueForwards(t *testing.T) {
	for _, queues := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("igb with %d", queues), func(t *testing.T) {
			if short() {
				t.Skip("not in the short form, where two workers have two queues")
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
			before := map[string][]int{"d0": l.received("d0", ofIGB, queues), "d1": l.received("d1", ofIGB, queues)}
			l.echoes(four, 1, flows)
			for nic, was := range before {
				spread := l.received(nic, ofIGB, queues)
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

// TestQueuesForXDPForward: a virtio-net adds a queue for each processor when it
// gets an XDP program, and receives on these, too.
func TestQueuesForXDPForward(t *testing.T) {
	if short() {
		t.Skip("not in the short form")
	}
	const queues, added = 2, 2
	l := onTAPs(t, queues+added, queues)
	if before := l.sh("ethtool -l d0 | grep Combined | tail -n 1"); !strings.HasSuffix(before, strconv.Itoa(queues)) {
		t.Fatalf("queues of d0: %s", before)
	}
	l.direct("--workers 2")
	if mode := l.mode(); mode != "native" { // the driver keeps zero copy on queues that are no more
		t.Errorf("mode %s", mode)
	}
	l.alternates()
	before := l.received("d0", "rx%d_xdp_packets", queues+added)
	l.echoes(four, 1, flows)
	spread := l.received("d0", "rx%d_xdp_packets", queues+added)
	for q := range spread {
		if spread[q] -= before[q]; spread[q] == 0 {
			t.Errorf("queue %d has received nothing", q)
		}
	}
	t.Logf("queues of d0 received %v frames of %d flows", spread, flows)
	l.forwards()
	if info := l.sh("lvx info"); strings.Contains(info, "no-socket") {
		t.Errorf("frames came to queues without a socket:\n%s", info)
	}
	l.halt()
	l.sh("for n in d0 d1; do ethtool -L $n combined %d; done", queues+added)
	l.direct("--workers 2")
	if mode := l.mode(); mode != "zerocopy" {
		t.Errorf("mode %s where no queue is to spare", mode)
	}
	l.forwards()
	l.halt()
}

// received returns how many frames each queue has received, by the names of
// the driver's counters.
func (l *lab) received(nic, name string, queues int) []int {
	l.t.Helper()
	counts := make([]int, queues)
	for line := range strings.Lines(l.sh("ethtool -S %s", nic)) {
		is, count, _ := strings.Cut(strings.TrimSpace(line), ": ")
		for q := range counts {
			if is == fmt.Sprintf(name, q) {
				counts[q], _ = strconv.Atoi(count)
			}
		}
	}
	return counts
}
