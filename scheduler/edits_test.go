package scheduler

import (
	"net/netip"
	"strings"
	"testing"
)

// The recording kernel-lists: ipvsadm -e, -d, -a and -E while connections come.
func TestRoundRobinGoesOnThroughEditsAsRecorded(t *testing.T) {
	b := newBench(t, "rr", 1, 1, 1)
	b.want("rs3 rs2 rs1 rs3")
	b.edit(1, 4)
	b.want("rs2 rs1 rs3 rs2")
	b.delete(2)
	b.want("rs1 rs3 rs1 rs3")
	b.add(2, 1)
	b.want("rs1 rs2 rs3 rs1 rs2 rs3")
	b.use("wrr")
	b.want("rs1 rs1 rs1 rs2 rs3 rs1 rs1 rs1 rs1 rs2 rs3 rs1")
	b.edit(2, 2)
	b.want("rs2 rs3 rs1 rs1 rs1 rs2 rs1 rs2 rs3 rs1 rs1 rs1 rs2 rs1 rs2 rs3")
	b.use("rr")
	b.want("rs2 rs3 rs1 rs2 rs3 rs1")
}

func TestRoundRobinGoesOnBehindTheServerDeleted(t *testing.T) {
	b := newBench(t, "rr", 1, 1, 1)
	b.want("rs3 rs2")
	b.delete(2)
	b.want("rs1 rs3 rs1 rs3")
}

// The recording quiesce-weight0.
func TestWeightZeroGetsNoNewConnections(t *testing.T) {
	b := newBench(t, "rr", 1, 1)
	b.want("rs2 rs1")
	b.edit(2, 0)
	b.want("rs1 rs1 rs1 rs1")
	b.edit(2, 1)
	b.want("rs2 rs1 rs2 rs1 rs2 rs1")
}

// Servers added one by one, the usual case: the first walk takes everybody.
func TestWeightedRoundRobinFilledServerByServer(t *testing.T) {
	for _, test := range []struct {
		weights []int
		want    string
	}{
		{[]int{5, 3, 2}, "rs3 rs2 rs1 rs1 rs1 rs2 rs1 rs3 rs2 rs1"},
		{[]int{3, 1}, "rs2 rs1 rs1 rs1"},
		{[]int{3, 2, 1}, "rs3 rs2 rs1 rs1 rs2 rs1"},
		{[]int{6, 4, 2}, "rs3 rs2 rs1 rs1 rs2 rs1"},
		{[]int{1, 2, 3}, "rs3 rs2 rs1 rs3 rs3 rs2"},
		{[]int{10, 10, 5}, "rs3 rs2 rs1 rs2 rs1"},
		{[]int{7, 1}, "rs2 rs1 rs1 rs1 rs1 rs1 rs1 rs1"},
	} {
		b := newBench(t, "wrr", test.weights...)
		b.want(test.want + " " + test.want)
	}
}

// ipvsadm -E -s wrr on a service that has servers: from the top.
func TestWeightedRoundRobinPutOnAFilledService(t *testing.T) {
	b := newBench(t, "rr", 5, 3, 2)
	b.use("wrr")
	round := "rs1 rs1 rs2 rs1 rs3 rs2 rs1 rs3 rs2 rs1"
	b.want(round + " " + round)
}

func TestWeightedRoundRobinIsNotSlowedByTheHighestWeights(t *testing.T) {
	b := newBench(t, "wrr", 1<<31-1, 1)
	b.want("rs2 rs1 rs1 rs1")
	b.overload(1)
	b.want("rs2 rs2 rs2")
}

func TestWeightedLeastConnectionsWithHeldConnections(t *testing.T) {
	b := newBench(t, "wlc", 5, 3, 2)
	var got []string
	for range 16 {
		got = append(got, strings.TrimPrefix(b.connect(netip.MustParseAddrPort("203.0.113.10:1"), true), "rs"))
	}
	if got := strings.Join(got, " "); got != "3 2 1 1 2 1 3 1 2 1 3 2 1 1 2 1" {
		t.Error(got)
	}
}

func TestActiveConnectionsWeighAs256InactiveOnes(t *testing.T) {
	b := newBench(t, "wlc", 1, 1)
	b.servers[b.index(1)].Counts.Active.Store(1)
	b.servers[b.index(2)].Counts.Inactive.Store(255)
	b.want("rs2")
	b.want("rs2 rs1") // 256 to 256: the newest; 257 to 256
}

// Largest counts and weights together need 70 bits.
func TestWeightedLeastConnectionsDoesNotOverflow(t *testing.T) {
	b := newBench(t, "wlc", 1<<31-1, 1<<31-2)
	b.servers[b.index(1)].Counts.Active.Store(1<<31 - 2)
	b.servers[b.index(2)].Counts.Active.Store(1<<31 - 1)
	b.want("rs1")
	b.servers[b.index(2)].Counts.Active.Store(-1) // a count taken off early
	b.want("rs2")
}

func TestNoServerIsChosenOfNone(t *testing.T) {
	for _, name := range Names() {
		b := newBench(t, name)
		b.want("ERR")
		b.add(1, 0)
		b.want("ERR ERR")
		b.edit(1, 1)
		b.want("rs1 rs1")
		b.delete(1)
		b.want("ERR ERR")
	}
}
