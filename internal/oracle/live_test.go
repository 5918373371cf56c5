package oracle

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/internal/vm"
)

// strictly are the options that lvx is run with in the guest. Its table is as
// large as that of the kernel, which lists tell.
const strictly = "--strict --public pub0 --private prv0 --conns 4096 --rings 256"

// How much is played to lvx as a program. Its worker looks at its timers ten
// times a second, and what that takes is not skipped: 100 seconds of sleep take
// a second and more here.
const (
	mostSlept, mostSleptShort = 60 * time.Second, 20 * time.Second
	lastSeed, lastSeedShort   = 6, 3
)

// byCode begins the names of the scenarios of tables and choices, which
// play the same few steps many times over.
var byCode = []string{"tcp-matrix-", "sctp-matrix-", "sched-"}

// playedOf are those of them that are played all the same.
var playedOf = []string{"tcp-matrix-TIME_WAIT", "sctp-matrix-5<", "sched-wrr"}

// unlivable says why a scenario is not played to lvx as a program, "" if it is.
func unlivable(s *record.Scenario) string {
	short, named := os.Getenv("IPVS_SHORT") != "", os.Getenv("IPVS_SEED")+os.Getenv("IPVS_SCENARIO") != ""
	sleep, seed, slept := mostSlept, uint64(lastSeed), time.Duration(0)
	if short {
		sleep, seed = mostSleptShort, lastSeedShort
	}
	for i := range s.Steps {
		slept += s.Steps[i].Sleep
	}
	made := slices.ContainsFunc(byCode, func(name string) bool { return strings.HasPrefix(s.Scenario, name) })
	switch {
	case slept > sleep && (slept > mostSlept || !named):
		return fmt.Sprintf("sleeps longer than %v", sleep)
	case named:
		return ""
	case made && (short || !slices.Contains(playedOf, s.Scenario)):
		return "made by code, as others that are played"
	case s.Seed > seed:
		return fmt.Sprintf("random, and %d others are played", seed)
	}
	return ""
}

// alive are the scenarios that are played to lvx as a program.
func alive(all []*record.Scenario) []*record.Scenario {
	return slices.DeleteFunc(slices.Clone(all), func(s *record.Scenario) bool { return unlivable(s) != "" })
}

// live compares lvx as a program, in a network namespace of the guest, with
// the kernel in another.
type live struct {
	*tally
	left map[string]int // scenarios, by the reason why not
	took time.Duration
}

func newLive() *live { return &live{tally: newTally(), left: map[string]int{}} }

// follow has lvx play what the kernel has played, as far as it is livable.
func (l *live) follow(t *testing.T, guest *vm.Machine, n int, played []*record.Scenario) {
	t.Helper()
	began := time.Now()
	for _, s := range played {
		if why := unlivable(s); why != "" {
			l.left[why]++
		}
	}
	if played = alive(played); len(played) == 0 {
		return
	}
	for i, ran := range play(t, guest, fmt.Sprintf("/live/%d", n), strictly) {
		l.scenarios++
		for _, d := range agrees(t, played[i], ran, l.tally) {
			t.Errorf("lvx as a program: %v", d)
		}
	}
	l.took += time.Since(began)
}

// agrees compares what lvx did with what the kernel did, and returns the
// differences.
func agrees(t testing.TB, kernel, ran *record.Scenario, counted *tally) []difference {
	t.Helper()
	return (&comparison{twin: newTwin(t, nil), t: t, scenario: kernel, ran: ran, tally: counted}).compare()
}

func (l *live) String() string {
	return fmt.Sprintf("live %d scenarios, %d packets in %v", l.scenarios, l.packets, l.took.Round(time.Second))
}

func (l *live) report() string {
	var text strings.Builder
	fmt.Fprintf(&text, "lvx as a program: %s", l.sum())
	for _, why := range slices.Sorted(maps.Keys(l.left)) {
		fmt.Fprintf(&text, "  %6d not played: %s\n", l.left[why], why)
	}
	return text.String() + l.allowances()
}

// replies compares what a command printed, and its status.
func (c *comparison) replies(s *record.Step, kernel, lvx *record.Result) {
	output := ""
	for line := range strings.Lines(lvx.Output) {
		switch {
		case strings.HasPrefix(line, "warning: "):
			c.tally.allowed[warned]++
		case s.Command[0] == "sysctl" && lvx.Code == 0: // it shows what is set
		default:
			output += line
		}
	}
	if s.Command[0] == "mark" && kernel.Code != 0 && lvx.Code != 0 {
		return // nftables are asked by a program of the guest, with words of its own
	}
	if !sameOutput(kernel.Output, output) || lvx.Code != kernel.Code {
		c.differ(fmt.Sprintf("command %q", s.Command), fmt.Sprintf("kernel: status %d\n%slvx: status %d\n%s", kernel.Code, kernel.Output, lvx.Code, output))
	}
}

// TestPrintedListsAreRead has the twin's lists printed, and read again.
func TestPrintedListsAreRead(t *testing.T) {
	x := newTwin(t, nil)
	for _, line := range []string{
		"-A -t 203.0.113.100:80 -s wrr -p 60", "-a -t 203.0.113.100:80 -r 10.1.0.11:8080 -m -w 3", "-a -t 203.0.113.100:80 -r 10.1.0.12:8080 -m -w 0",
		"-A -u [2001:db8:1::100]:53 -s rr", "-a -u [2001:db8:1::100]:53 -r [fd00:1::11]:53 -m",
	} {
		x.mustLine(line)
	}
	for _, p := range []string{
		"src=203.0.113.50:4001 dst=203.0.113.100:80 proto=tcp flags=S", "src=[2001:db8:1::50]:4001 dst=[2001:db8:1::100]:53 proto=udp data=x",
	} {
		s, err := parseStep(append([]string{"packet"}, strings.Fields(p)...))
		if err == nil {
			err = x.arrive(s.NIC, s.Frames)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	print := func(heading int, words ...string) []string {
		text, _ := (desk{x}).ask(t, words, "")
		return strings.Split(strings.TrimSpace(text), "\n")[heading:]
	}
	servers, err := parsePrintedServers(print(3, "-Ln", "--nosort"))
	if err != nil || len(servers) != 3 || !slices.Equal(servers, x.servers()) {
		t.Errorf("servers %v, %v, want %v", servers, err, x.servers())
	}
	conns, err := parsePrintedConns(print(2, "-Lnc"))
	if err != nil || len(conns) != 3 || !slices.EqualFunc(conns, x.conns(), func(a, b conn) bool { return a.String() == b.String() }) {
		t.Errorf("connections %v, %v, want %v", conns, err, x.conns())
	}
}
