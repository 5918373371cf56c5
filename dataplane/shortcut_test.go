package dataplane

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/conntrack"
)

// TestScriptsWithoutShortcut plays them with all packets taking all stages.
func TestScriptsWithoutShortcut(t *testing.T) {
	eachScript(t, func(t *testing.T, top topology, text string) {
		playScript(t, top, text, sizes{conns: 1000, frames: 256, ring: 256, detour: true})
	})
}

// plainly are frames that take the shortcut once their connection is there,
// and those beside them that may not.
var plainly = []string{
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp S",
	"private 10.0.0.11:8080 -> 198.51.100.7:1 tcp SA",
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp A",
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp PA data=33",
	"private 10.0.0.11:8080 -> 198.51.100.7:1 tcp A data=1200",
	"private 10.0.0.11:8080 -> 198.51.100.7:1 tcp PA data=5 sum=partial",
	"public 10.0.0.11:8080 -> 198.51.100.7:1 tcp A",
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp FA",
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp R",
	"public 198.51.100.8:2 -> 192.0.2.1:53 udp 18",
	"public 198.51.100.9:3 -> 192.0.2.1:53 udp 18 pad=7",
	"public 198.51.100.9:3 -> 192.0.2.1:53 udp 18 sum=none",
	"public 198.51.100.9:3 -> 192.0.2.1:53 udp 18 ttl=1",
	"public 198.51.100.9:3 -> 192.0.2.1:53 udp 18 ttl=2",
	"public 192.0.2.1:3 -> 192.0.2.1:53 udp 18",
	"private 10.0.0.11:5353 -> 198.51.100.9:3 udp 1400",
	"private 10.0.0.11:5353 -> 198.51.100.8:2 udp 18",
	"private 10.0.0.12:5353 -> 198.51.100.8:2 udp 18",
}

// TestTheShortcutDecidesNothing gives the same batches to a worker that knows
// it and to one that does not.
func TestTheShortcutDecidesNothing(t *testing.T) {
	for seed := range uint64(20) {
		z := sizes{conns: 30, frames: 256, ring: 64, finishes: seed%2 == 1}
		short := crowd(t, z)
		z.detour = true
		long := crowd(t, z)
		for _, s := range []*script{short, long} {
			s.links[0].Partial, s.links[1].Partial = seed&2 != 0, seed&2 != 0
			s.roster.SetLinks(s.links)
			s.adopt()
		}
		random := rand.New(rand.NewPCG(seed, 1))
		lines, took := append(slices.Clone(plainly), grown...), 0
		for range 300 {
			for range 1 + random.IntN(20) {
				line := plainly[random.IntN(len(plainly))]
				if random.IntN(8) == 0 {
					line = lines[random.IntN(len(lines))]
				}
				n, frame := short.bytesOf(line)
				short.nics[n].Inject(bytes.Clone(frame))
				long.nics[n].Inject(frame)
			}
			pause := Time(random.Int64N(int64(20 * Second)))
			for _, s := range []*script{short, long} {
				s.nics[0].Discard(false)
				s.nics[1].Discard(false)
				s.now += pause
				s.world.run(t)
			}
			took += short.plainOnes()
			alike(t, short, long)
		}
		if took < 300 {
			t.Fatalf("seed %d: only %d packets took the shortcut", seed, took)
		}
	}
}

// plainOnes counts the packets of the last batch that took the shortcut.
func (s *script) plainOnes() (n int) {
	b := &s.worker.batch
	for i := range b.n {
		if b.kinds[i] == kindPlain {
			n++
		}
	}
	return n
}

// alike compares what left, what was counted and what is remembered.
func alike(t *testing.T, a, b *script) {
	t.Helper()
	for n := range a.sent {
		if !slices.EqualFunc(a.sent[n], b.sent[n], bytes.Equal) {
			t.Fatalf("NIC %d sent other frames: %d and %d", n, len(a.sent[n]), len(b.sent[n]))
		}
		a.sent[n], b.sent[n] = nil, nil
	}
	if a.worker.Counters != b.worker.Counters {
		t.Fatalf("counters:\n%+v\n%+v", a.worker.Counters, b.worker.Counters)
	}
	if !slices.Equal(a.worker.Stats(), b.worker.Stats()) {
		t.Fatalf("servers:\n%+v\n%+v", a.worker.Stats(), b.worker.Stats())
	}
	if a, b := recordsOf(a.worker.Table()), recordsOf(b.worker.Table()); !slices.Equal(a, b) {
		t.Fatalf("connections:\n%+v\n%+v", a, b)
	}
}

func recordsOf(table *conntrack.Table) (all []conntrack.Record) {
	table.Walk(0, table.Slots(), func(_ conntrack.Index, r *conntrack.Record) { all = append(all, *r) })
	return all
}

// TestTheShortcutDecidesNothingAtTheFair: there much is unusual, and servers
// come and go.
func TestTheShortcutDecidesNothingAtTheFair(t *testing.T) {
	usual := []string{
		"public 198.51.100.1:1000 -> 192.0.2.1:53 udp 9", "private 10.0.0.11:53 -> 198.51.100.1:1000 udp 9",
		"private 10.0.0.12:53 -> 198.51.100.1:1000 udp 9", "public 198.51.100.2:1000 -> 192.0.2.4:80 tcp S",
		"public 198.51.100.2:1000 -> 192.0.2.4:80 tcp A", "private 10.0.0.11:80 -> 198.51.100.2:1000 tcp A",
	}
	took := 0
	for seed := range uint64(10) {
		short, long := openFair(t, 1), openFair(t, 1)
		long.detour = true
		long.adopt()
		random := rand.New(rand.NewPCG(seed, 3))
		for range 400 {
			for range 1 + random.IntN(6) {
				line := fairFrame(random)
				if random.IntN(2) == 0 {
					line = usual[random.IntN(len(usual))]
				}
				n, frame := short.bytesOf(line)
				short.nics[n].Inject(bytes.Clone(frame))
				long.nics[n].Inject(frame)
			}
			edit, pause, sever := strings.Fields(fairCommand(random)), Time(random.Int64N(int64(2*Second))), random.IntN(60)
			for _, s := range []*script{short, long} {
				s.nics[0].Discard(false)
				s.nics[1].Discard(false)
				s.now += pause
				s.world.run(t)
				if pause%20 == 0 {
					_ = s.command(edit) // some are refused
				}
				if all := s.roster.Servers(); sever < min(2, len(all)) {
					all[sever].Sever()
					s.worker.Sever()
				}
			}
			took += short.plainOnes()
			alike(t, short, long)
		}
	}
	if took < 500 {
		t.Errorf("only %d packets took the shortcut", took)
	}
}
