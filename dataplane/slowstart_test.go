package dataplane

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/conntrack"
)

// warming is a roster without workers.
type warming struct {
	t *testing.T
	*world
}

func newWarming(t *testing.T, slow Time, lines ...string) warming {
	t.Helper()
	w := warming{t, newWorld(t, topologies["twonic"], sizes{conns: 8, frames: 64, ring: 64})}
	w.roster.SlowStart(slow)
	w.do(lines...)
	return w
}

func (w warming) do(lines ...string) {
	w.t.Helper()
	for _, line := range lines {
		if err := w.command(strings.Fields(line)); err != nil {
			w.t.Fatalf("%s: %v", line, err)
		}
	}
}

// at moves on to a time after the start.
func (w warming) at(begin, after Time) {
	w.now = begin + after
	w.roster.Warm(w.now)
}

func (w warming) service() *Service {
	return w.roster.services[w.set.Services()[0].Key]
}

// picks counts n new connections by server, oldest first.
func (w warming) picks(n int) string {
	config, who := w.roster.Config(), call{port: 80, state: conntrack.SynRecv}
	counts := map[string]int{}
	for range n {
		got, _ := w.service().choose(config, &who)
		counts[got.server.Address.Address.String()]++
	}
	var text []string
	for _, v := range slices.Backward(w.set.Services()[0].Servers) {
		text = append(text, fmt.Sprint(counts[v.Address.String()]))
	}
	return strings.Join(text, " ")
}

func (w warming) want(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%v after the start: %s, want %s", w.now, got, want)
	}
}

var twoServers = []string{"-a -t 192.0.2.1:80 -r 10.0.0.11:8080 -m", "-a -t 192.0.2.1:80 -r 10.0.0.12:8080 -m -w 2"}

const newcomer = "-a -t 192.0.2.1:80 -r 10.0.0.13:8080 -m"

func TestANewServerGetsItsWeightByTenths(t *testing.T) {
	w := newWarming(t, 10*Second, append([]string{"-A -t 192.0.2.1:80 -s wrr"}, twoServers...)...)
	w.at(w.now, 20*Second)
	w.want(w.picks(30), "10 20")
	begin := w.now
	w.do(newcomer)
	for tenth, n := range []int{1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10} {
		w.at(begin, Time(tenth)*Second)
		w.want(w.picks(30+n), fmt.Sprintf("10 20 %d", n))
		w.at(begin, Time(tenth)*Second+Second/2)
		w.want(w.picks(30+n), fmt.Sprintf("10 20 %d", n))
	}
	for _, x := range w.service().servers {
		if x.Weight > 2 {
			t.Errorf("a weight of %d after the slow start", x.Weight)
		}
	}
}

func TestConnectionsOfASlowStartFollowTheLoad(t *testing.T) {
	for _, scheduler := range []string{"wlc", "sed"} {
		w := newWarming(t, 10*Second, append([]string{"-A -t 192.0.2.1:80 -s " + scheduler}, twoServers...)...)
		w.at(w.now, 20*Second)
		w.want(w.picks(300), "100 200")
		begin := w.now
		w.do(newcomer)
		// A tenth of what the weight will be worth, and not all that is new.
		w.want(w.picks(10), "0 0 10")
		w.want(w.picks(31), "10 20 1")
		w.at(begin, 5*Second)
		w.want(w.picks(44), "0 0 44")
		w.want(w.picks(35), "10 20 5")
		w.at(begin, 10*Second)
		w.want(w.picks(60), "0 0 60")
		w.want(w.picks(40), "10 20 10")
	}
}

func TestAServerThatWasDrainedStartsSlowlyAgain(t *testing.T) {
	w := newWarming(t, 10*Second, append([]string{"-A -t 192.0.2.1:80 -s wrr"}, twoServers...)...)
	w.at(w.now, 20*Second)
	begin := w.now
	w.do("-e -t 192.0.2.1:80 -r 10.0.0.11:8080 -m -w 0")
	w.want(w.picks(10), "0 10")
	w.at(begin, 10*Second)
	w.do("-e -t 192.0.2.1:80 -r 10.0.0.11:8080 -m -w 2")
	w.want(w.picks(22), "2 20")
	w.at(begin, 15*Second)
	// A change of its weight does not begin anew.
	w.do("-e -t 192.0.2.1:80 -r 10.0.0.11:8080 -m -w 4")
	w.want(w.picks(40), "20 20")
	w.at(begin, 30*Second)
	w.want(w.picks(60), "40 20")
	// One that is deleted and comes back is new.
	w.do("-d -t 192.0.2.1:80 -r 10.0.0.11:8080", "-a -t 192.0.2.1:80 -r 10.0.0.11:8080 -m -w 4")
	w.want(w.picks(24), "20 4")
}

func TestServersThatAllBeginShareAsEver(t *testing.T) {
	w := newWarming(t, 10*Second, append([]string{"-A -t 192.0.2.1:80 -s wrr"}, twoServers...)...)
	w.want(w.picks(30), "10 20")
}

func TestWeightsAreNeverBelowOneOrOutOfBounds(t *testing.T) {
	for _, weight := range []int{1, 3, 1 << 24, 1<<24 + 1, 1<<31 - 1} {
		w := newWarming(t, 10*Second, "-A -t 192.0.2.1:80 -s wlc", fmt.Sprintf("%s -w %d", twoServers[0], weight), newcomer)
		begin := w.now
		for tick := range Time(120) {
			w.at(begin, tick*Second/10)
			for _, x := range w.service().servers {
				if x.Weight < 1 || x.Weight > 1<<31-1 {
					t.Fatalf("weight %d of %d after %d ticks", x.Weight, weight, tick)
				}
			}
		}
		if got := w.service().servers[1].Weight; got != weight {
			t.Errorf("weight %d at the end, want %d", got, weight)
		}
	}
}

// To these a weight is more than a share.
func TestOtherSchedulersHaveNoSlowStart(t *testing.T) {
	for _, name := range []string{"rr", "lc", "lblc", "lblcr", "dh", "sh", "fo", "ovf", "mh"} {
		w := newWarming(t, 10*Second, "-A -t 192.0.2.1:80 -s "+name, twoServers[1])
		if got := w.service().servers[0].Weight; got != 2 {
			t.Errorf("%s sees a weight of %d", name, got)
		}
	}
}
