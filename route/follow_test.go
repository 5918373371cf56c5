package route

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEverythingIsReadAgainWhenEventsAreLost(t *testing.T) {
	l := newLab(t)
	stopped, goOn := make(chan struct{}), make(chan struct{})
	first := true
	told := &diary[Address]{}
	m := l.open(Config{eventBuffer: 4096, OnAddress: told.add, OnLink: func(x Link) {
		if first && x.MTU == 1400 {
			first = false
			close(stopped)
			<-goOn
		}
	}})
	l.run(l.near, "ip route add 203.0.113.0/24 via 10.0.0.2", "ip link set near mtu 1400")
	<-stopped
	l.batch("route add 100.%d.%d.0/24 via 10.0.0.9", 5000)
	l.run(l.near, "ip route del 203.0.113.0/24", "ip addr add 10.0.0.77/32 dev near", "ip link add late type veth peer name other",
		"ip rule add from 192.0.2.1 prohibit", "ip neigh add 10.0.0.50 lladdr 02:00:00:00:00:50 dev near nud permanent")
	close(goOn)
	answers(t, m, "100.0.0.1", func(n Next) bool { return n.Gateway == ip("10.0.0.9") })
	answers(t, m, "100.19.135.1", func(n Next) bool { return n.Gateway == ip("10.0.0.9") })
	answers(t, m, "203.0.113.1", func(n Next) bool { return n.Kind == None })
	told.hears(t, "the address", func(a Address) bool { return a.Prefix.Addr() == ip("10.0.0.77") })
	eventually(t, "link, rule and neighbour", func() (any, bool) {
		_, err := m.LinkByName("late")
		r := m.Lookup(ip("10.0.0.9"), ip("192.0.2.1"), 0, 0)
		n := m.Neighbour(l.index(m, "near"), ip("10.0.0.50"))
		return fmt.Sprint(err, r, n), err == nil && r.Kind == Prohibit && n.State == Usable
	})
	if l.log.count("events of the kernel were lost") == 0 {
		t.Errorf("no event was lost: the test shows nothing")
	}
}

// batch feeds ip one command for each of n networks.
func (l *lab) batch(line string, n int) {
	l.t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, line+"\n", i>>8, i&255)
	}
	file := filepath.Join(l.t.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.run(l.near, "ip -batch "+file)
}

func TestBurstIsPublishedInFewGenerations(t *testing.T) {
	l := newLab(t)
	m := l.open(Config{})
	before, begin := m.Generation(), time.Now()
	l.batch("route add 100.%d.%d.0/24 via 10.0.0.9", 5000)
	answers(t, m, "100.19.135.1", func(n Next) bool { return n.Gateway == ip("10.0.0.9") })
	took := time.Since(begin)
	if rose := m.Generation() - before; rose == 0 || rose > 2+uint32(took/settleTime) {
		t.Errorf("5000 changes made %d generations in %v", rose, took)
	}
}

func TestGenerationIsToldWhenAnswersChange(t *testing.T) {
	l := newLab(t)
	told := &diary[uint32]{}
	m := l.open(Config{OnRoutes: told.add})
	before := m.Generation()
	l.run(l.near, "ip route add 192.0.2.0/24 via 10.0.0.2")
	told.hears(t, "a new generation", func(g uint32) bool { return g > before })
	answers(t, m, "192.0.2.1", func(n Next) bool { return n.Gateway == ip("10.0.0.2") })
}

func TestReadingTheSameRoutesAgainChangesNothing(t *testing.T) {
	l := newLab(t)
	l.run(l.near, "ip route add 192.0.2.0/24 via 10.0.0.2", "ip route add 192.0.2.0/24 via 10.0.0.3 metric 9")
	m := l.open(Config{})
	_ = m.Close() // so that this goroutine may read for it
	again, err := Open(context.Background(), Config{Netns: int(l.near.handle)})
	if err != nil {
		t.Fatal(err)
	}
	again.stop()
	again.done.Wait()
	paths := len(again.paths.numbers)
	for range 3 {
		if err := again.readRoutes(); err != nil {
			t.Fatal(err)
		}
		if again.changed || len(again.paths.numbers) != paths {
			t.Fatalf("changed: %v, paths %d, before %d", again.changed, len(again.paths.numbers), paths)
		}
	}
	_ = again.Close()
}

func TestEndOfContextEndsTheMirror(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(context.Background())
	m, err := Open(ctx, Config{Netns: int(l.near.handle)})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	ended := make(chan struct{})
	go func() { m.done.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the goroutines of the mirror go on")
	}
	if n := m.Lookup(ip("10.0.0.7"), netip.Addr{}, 0, 0); n.Kind != Unicast {
		t.Errorf("the last answers are gone: %+v", n)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenWithoutNamespaceFails(t *testing.T) {
	if _, err := Open(context.Background(), Config{Netns: 1 << 20}); err == nil {
		t.Errorf("a mirror of nothing was opened")
	}
}

func BenchmarkReadRoutes(b *testing.B) {
	l := newLab(b)
	l.batch("route add 100.%d.%d.0/24 via 10.0.0.9", 60000)
	m := l.open(Config{})
	m.stop()
	m.done.Wait()
	b.ReportAllocs()
	for b.Loop() {
		if err := m.readRoutes(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/60000, "ns/route")
}
