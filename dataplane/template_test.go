package dataplane

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lvx-lb/lvx/conntrack"
)

// slowTemplate is what a map-based twin knows of a template. It looks at every
// tick at everything, so nothing comes late.
type slowTemplate struct {
	server            *Server
	deadline, timeout conntrack.Tick
	controls          int
	assured, void     bool
}

type slowTemplates struct {
	now  conntrack.Tick
	live map[templateKey]*slowTemplate
	void []*slowTemplate
}

func (s *slowTemplates) tick() {
	s.now++
	over := func(x *slowTemplate) bool {
		if s.now != x.deadline+templateGrace+1 {
			return false
		}
		if x.controls == 0 {
			return true
		}
		x.timeout, x.deadline = templateStep, x.deadline+templateStep
		return false
	}
	for k, x := range s.live {
		if over(x) {
			delete(s.live, k)
		}
	}
	s.void = slices.DeleteFunc(s.void, over)
}

func (s *slowTemplates) rows() (rows []string) {
	row := func(k templateKey, x *slowTemplate) {
		rows = append(rows, fmt.Sprint(k.client, x.server.Slot, x.void, x.assured, max(0, int32(x.deadline-s.now))))
	}
	for k, x := range s.live {
		row(k, x)
	}
	for _, x := range s.void {
		row(templateKey{}, x)
	}
	slices.Sort(rows)
	return rows
}

// held is a connection that a template controls, in both.
type heldBy struct {
	number uint32
	slow   *slowTemplate
}

func TestTemplatesDoWhatTheirSlowTwinDoes(t *testing.T) {
	for seed := range uint64(3) {
		random := rand.New(rand.NewPCG(seed, 0))
		templates, slow := newTemplates(1000), &slowTemplates{live: map[templateKey]*slowTemplate{}}
		slow.now = ^conntrack.Tick(0) - 3000 // across the wrap
		service := &Service{}
		var servers []*Server
		for slot := range uint32(4) {
			servers = append(servers, &Server{Slot: slot, service: service})
		}
		templates.know(servers)
		var conns []heldBy
		for step := range 3000 {
			key := templateKey{client: addrOf(fmt.Sprintf("198.51.100.%d", random.IntN(30))), proto: 6, port: uint16(random.IntN(2))}
			switch op := random.IntN(12); op {
			case 0, 1, 2, 3:
				conns = append(conns, callBoth(t, templates, slow, key, servers[random.IntN(4)], conntrack.Tick(1+random.IntN(700))))
			case 4, 5, 6:
				if len(conns) > 0 {
					i := random.IntN(len(conns))
					templates.release(conns[i].number, slow.now)
					conns[i].slow.controls--
					conns = slices.Delete(conns, i, i+1)
				}
			case 7:
				if len(conns) > 0 {
					templates.assure(conns[0].number)
					conns[0].slow.assured = true
				}
			case 8:
				servers[random.IntN(4)].deleted.Store(random.IntN(2) == 0)
			default:
				for range random.IntN(60) {
					slow.tick()
				}
				if op == 9 { // the sweep may also not come for long
					templates.sweep(slow.now)
				}
			}
			if step%8 == 0 {
				compareTemplates(t, templates, slow)
			}
		}
		for range 70_000 { // past everything, and past a turn of the wheel
			slow.tick()
		}
		for range 3 {
			templates.sweep(slow.now)
		}
		compareTemplates(t, templates, slow)
	}
}

// callBoth is a new connection of a client, to a server that was just chosen
// if no template knows better.
func callBoth(t *testing.T, templates *Templates, slow *slowTemplates, key templateKey, s *Server, timeout conntrack.Tick) heldBy {
	t.Helper()
	x := slow.live[key]
	if x != nil && x.server.deleted.Load() {
		delete(slow.live, key)
		x.void = true
		slow.void = append(slow.void, x)
		x = nil
	}
	n := templates.find(&key, slow.now)
	if (n != 0) != (x != nil) {
		t.Fatalf("found %d, the twin %v", n, x)
	}
	if x == nil {
		// A template of a deleted server could not be told from others.
		if s.deleted.Load() {
			s.deleted.Store(false)
		}
		if n = templates.insert(&key, s, timeout, slow.now); n == 0 {
			t.Fatal("no room")
		}
		x = &slowTemplate{server: s, timeout: timeout}
		slow.live[key] = x
	}
	templates.control(n, slow.now)
	x.controls++
	x.deadline = slow.now + x.timeout
	return heldBy{n, x}
}

func compareTemplates(t *testing.T, templates *Templates, slow *slowTemplates) {
	t.Helper()
	var rows []string
	kept := make([]int32, len(templates.servers))
	for at := 0; at >= 0; {
		at = templates.Walk(slow.now, at, 7, func(x Template) {
			client, void := x.Client, x.VPort == voidPort
			if void {
				client = templateKey{}.client
			}
			rows = append(rows, fmt.Sprint(client, x.Server.Slot, void, x.Assured, x.Expires))
		})
	}
	slices.Sort(rows)
	if want := slow.rows(); !slices.Equal(rows, want) {
		t.Fatalf("at %d there are\n%s\nwant\n%s", slow.now, strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
	for i := range templates.slots[:templates.used] {
		if x := &templates.slots[i]; x.proto != 0 {
			kept[x.slot]++
		}
	}
	for slot, s := range templates.servers {
		if s.kept.Load() != kept[slot] {
			t.Fatalf("server %d keeps %d, there are %d", slot, s.kept.Load(), kept[slot])
		}
	}
}

// However many workers call for a client at the same time, it gets one server.
func TestAClientGetsOneServerOfAllWorkers(t *testing.T) {
	x := newWorld(t, topologies["twonic"], sizes{conns: 8, frames: 64, ring: 64})
	for _, line := range []string{
		"-A -t 192.0.2.1:80 -s rr -p 60", "-a -t 192.0.2.1:80 -r 10.0.0.11 -m", "-a -t 192.0.2.1:80 -r 10.0.0.12 -m -x 5", "-a -t 192.0.2.1:80 -r 10.0.0.13 -m",
	} {
		if err := x.command(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
	}
	c := x.worker.config
	const clients, workers = 200, 8
	var chosen [workers][clients]*Server
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for k := range clients {
				who := call{client: addrOf(fmt.Sprintf("198.51.100.%d", k)), port: 80, state: conntrack.SynRecv, now: 7}
				got, why := c.Services[0].choose(c, &who)
				if why != Unexplained {
					t.Error(why)
					return
				}
				chosen[w][k] = got.server
				c.templates.assure(got.template)
				if k%2 == 0 {
					got.server.end(got.state)
					c.templates.release(got.template, 7)
				}
				c.templates.sweep(conntrack.Tick(k % 7))
			}
		})
	}
	group.Wait()
	for w := range workers {
		if chosen[w] != chosen[0] {
			t.Fatalf("worker %d chose others than worker 0", w)
		}
	}
	templates, active := 0, 0
	for _, s := range x.roster.Servers() {
		a, _ := s.Counts()
		templates, active = templates+int(s.Templates()), active+int(a)
	}
	if templates != clients || active != workers*clients/2 {
		t.Errorf("%d templates, %d active", templates, active)
	}
}

// TestTemplatesKnowWhatTheyControl plays a crowd of clients to a small director with
// a persistent service: in the end all counts are what a recount says.
func TestTemplatesKnowWhatTheyControl(t *testing.T) {
	s := crowd(t, sizes{conns: 40, frames: 64, ring: 64, templates: 12})
	for _, line := range []string{
		"-A -t 192.0.2.1:81 -s rr -p 20", "-a -t 192.0.2.1:81 -r 10.0.0.11:8080 -m -x 6", "-a -t 192.0.2.1:81 -r 10.0.0.12:8080 -m",
		"-A -u 192.0.2.2:0 -s wlc -p 100", "-a -u 192.0.2.2:0 -r 10.0.0.11:0 -m", "-a -u 192.0.2.2:0 -r 10.0.0.12:0 -m",
		"-A -u 192.0.2.3:55 -s rr -o", "-a -u 192.0.2.3:55 -r 10.0.0.11:55 -m", "-a -u 192.0.2.3:55 -r 10.0.0.12:55 -m",
	} {
		if err := s.command(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
	}
	random := rand.New(rand.NewPCG(2, 2))
	flags := []string{"S", "S", "A", "FA", "R", "PA"}
	there := true
	for range 4000 {
		client := fmt.Sprintf("198.51.100.%d:%d", 1+random.IntN(16), 1+random.IntN(8))
		line := fmt.Sprintf("public %s -> 192.0.2.1:81 tcp %s", client, flags[random.IntN(len(flags))])
		if random.IntN(3) == 0 {
			line = fmt.Sprintf("public %s -> 192.0.2.%d:%d udp 9", client, 2+random.IntN(2), 50+random.IntN(9))
		}
		n, frame := s.bytesOf(line)
		s.arrive(n, frame)
		if random.IntN(3) == 0 {
			s.now += Time(random.Int64N(int64(10 * Second)))
			s.world.run(t)
		}
		if random.IntN(50) == 0 {
			verb := map[bool]string{false: "-a -t 192.0.2.1:81 -r 10.0.0.12:8080 -m", true: "-d -t 192.0.2.1:81 -r 10.0.0.12:8080"}[there]
			if err := s.command(strings.Fields(verb)); err != nil {
				t.Fatal(err)
			}
			there = !there
		}
	}
	s.world.run(t)
	if c := &s.worker.Counters; c.NewConns < 500 || c.Expired < 50 || c.Dropped[TemplatesFull] == 0 {
		t.Errorf("too little happened: %+v", c)
	}
	recountTemplates(t, s)
	s.now += 3000 * Second
	for range 20 {
		s.now += 10 * Second // late, a template may be prolonged once more
		s.world.run(t)
	}
	if n := s.roster.Templates().count; n != 0 {
		t.Errorf("%d templates outlived their time", n)
	}
	for _, srv := range s.roster.Servers() {
		if !srv.Idle() || srv.Templates() != 0 {
			t.Errorf("%v still counts", srv.Address.Address)
		}
	}
}

func recountTemplates(t *testing.T, s *script) {
	t.Helper()
	templates := s.roster.Templates()
	controls := map[uint32]uint32{}
	active, inactive := make([]int, s.roster.Slots()), make([]int, s.roster.Slots())
	for _, w := range s.workers {
		w.table.Recount(active, inactive)
		w.table.Walk(0, 1<<30, func(i conntrack.Index, r *conntrack.Record) {
			if r.Flags&controlled != 0 {
				controls[w.control[i]]++
			}
		})
	}
	for n := uint32(1); int(n) <= templates.used; n++ {
		if x := templates.at(n); x.controls != controls[n] {
			t.Errorf("template %d controls %d, want %d", n, x.controls, controls[n])
		}
	}
	for _, srv := range s.roster.Servers() {
		if a, i := srv.Counts(); int(a) != active[srv.Slot] || int(i) != inactive[srv.Slot] {
			t.Errorf("%v counts %d and %d, the table %d and %d", srv.Address.Address, a, i, active[srv.Slot], inactive[srv.Slot])
		}
	}
}

func TestConnectionsOfAllKindsAllocateNothing(t *testing.T) {
	for _, c := range []struct{ name, service, server string }{
		{"persistent, any port", "-A -u 192.0.2.2:0 -s rr -p 30", "-a -u 192.0.2.2:0 -r 10.0.0.11:0 -m"},
		{"one packet", "-A -u 192.0.2.2:53 -s rr -o", "-a -u 192.0.2.2:53 -r 10.0.0.11:53 -m"},
		{"both", "-A -u 192.0.2.2:53 -s wlc -o -p 30", "-a -u 192.0.2.2:53 -r 10.0.0.11:53 -m"},
		{"thresholds", "-A -u 192.0.2.2:53 -s wlc", "-a -u 192.0.2.2:53 -r 10.0.0.11:53 -m -x 50 -y 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := crowd(t, sizes{conns: 1000, frames: 256, ring: 256})
			for _, line := range []string{c.service, c.server} {
				if err := s.command(strings.Fields(line)); err != nil {
					t.Fatal(err)
				}
			}
			runAgainAndAgain(t, s)
		})
	}
}

// runAgainAndAgain has clients call that come again, before and after their
// connections and templates are gone.
func runAgainAndAgain(t *testing.T, s *script) {
	var frames, answers [100][]byte
	for k := range frames {
		_, frames[k] = s.bytesOf(fmt.Sprintf("public 198.51.100.%d:1 -> 192.0.2.2:53 udp 18", k))
		_, answers[k] = s.bytesOf(fmt.Sprintf("private 10.0.0.11:53 -> 198.51.100.%d:1 udp 18", k))
	}
	n := 0
	run := func() {
		n++
		s.nics[0].Inject(frames[n%len(frames)])
		s.worker.Round(s.now)
		s.nics[1].Inject(answers[n%len(answers)])
		s.worker.Round(s.now)
		s.now += 20 * Second
		s.worker.Round(s.now)
	}
	for range 3 {
		run()
		s.resolve()
	}
	if allocs := testing.AllocsPerRun(200, run); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if c := &s.worker.Counters; c.NewConns < 200 || c.Forwarded < 400 || c.Expired < 100 {
		t.Errorf("too little happened: %+v", c)
	}
}

// However many workers schedule at the same time, no server passes its upper
// threshold.
func TestThresholdsAreExactWithManyWorkers(t *testing.T) {
	x := newWorld(t, topologies["twonic"], sizes{conns: 8, frames: 64, ring: 64})
	for _, line := range []string{
		"-A -t 192.0.2.1:80 -s wlc", "-a -t 192.0.2.1:80 -r 10.0.0.11 -m -x 7", "-a -t 192.0.2.1:80 -r 10.0.0.12 -m -x 20 -y 5",
	} {
		if err := x.command(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
	}
	c := x.worker.config
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			var held []*Server
			for n := range 3000 {
				if n%3 == 2 && len(held) > 0 {
					held[0].end(conntrack.SynRecv)
					held = held[1:]
				}
				if got, why := c.Services[0].choose(c, &call{port: 80, state: conntrack.SynRecv}); why == Unexplained {
					held = append(held, got.server)
				}
				for _, s := range x.roster.Servers() {
					if a, i := s.Counts(); a+i > s.Address.Upper {
						t.Errorf("%v has %d connections", s.Address.Address, a+i)
						return
					}
				}
			}
		})
	}
	group.Wait()
}
