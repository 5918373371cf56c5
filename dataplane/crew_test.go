package dataplane

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/rss"
	"golang.org/x/sys/unix"
)

// several are the crews that tests are repeated with.
var several = []int{2, 3}

// allTo returns the placement of NICs that give everything to one worker.
func allTo(worker, workers int) *rss.Placement {
	p, err := rss.NewPlacement(workers, rss.Spread{Queues: []uint32{uint32(worker)}, Key: rss.SymmetricKey(40), Function: rss.FunctionToeplitz})
	if err != nil {
		panic(err)
	}
	return p
}

// TestScriptsWithSeveralWorkers plays the scripts again, each frame on the
// queue of any worker: they are one director. Where a script is about what
// each worker has of its own, one of them owns everything.
func TestScriptsWithSeveralWorkers(t *testing.T) {
	own := []string{"table-full", "client-port-full", "batch", "reuse-in-batch", "tx-full", "hop-limits", "fragments-bound", "hops", "drop-packet", "drop-entry", "drop-entry-short"}
	for _, n := range several {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			eachScript(t, func(t *testing.T, top topology, text string) {
				z := sizes{conns: 1000, frames: 256 * n, ring: 256, workers: n}
				if slices.Contains(own, filepath.Base(t.Name())) {
					z.placed = allTo(n-1, n)
				}
				playScript(t, top, text, z)
			})
		})
	}
}

func TestSeveralWorkersSendWhatIPVSSent(t *testing.T) {
	for _, n := range several {
		for i := range recordings {
			t.Run(fmt.Sprint(n, " ", recordings[i].name), func(t *testing.T) { recordings[i].replay(t, n) })
		}
	}
}

// gang is a crowd of several workers.
func gang(t testing.TB, n int) *script {
	t.Helper()
	s := crowd(t, sizes{conns: 4000, frames: 512 * n, ring: 256, workers: n})
	s.t, _ = t.(*testing.T)
	for _, queues := range s.queues {
		for _, m := range queues {
			m.Discard(true)
		}
	}
	return s
}

// frameOf returns the frame of a client endpoint to the service on UDP port 53
// (answer: back from its server).
func (s *script) frameOf(client string, answer bool) (nic int, frame []byte) {
	if answer {
		return s.bytesOf("private 10.0.0.11:5353 -> " + client + " udp 18")
	}
	return s.bytesOf("public " + client + " -> 192.0.2.1:53 udp 18")
}

// of returns clients that a worker owns.
func (s *script) of(worker, n int) (clients []string) {
	for k := 0; len(clients) < n; k++ {
		c := fmt.Sprintf("198.51.100.%d:%d", 1+k%250, 1000+k/250)
		if s.crew.owner(endpointOf(c)) == worker {
			clients = append(clients, c)
		}
	}
	return clients
}

func endpointOf(s string) packet.Endpoint {
	sym, err := parseSymbol([]string{s, "->", s, "udp", "1"})
	if err != nil {
		panic(err)
	}
	return packet.EndpointFrom(sym.src)
}

// books compares the sums of all workers: what one handed another took, what
// servers count is what tables hold, and nobody owes a chunk or lacks one.
func (s *script) books(t *testing.T) {
	t.Helper()
	s.check(t)
	sum := s.totals()
	if sum["handed"] != sum["taken"] {
		t.Errorf("%d frames were handed over, %d taken", sum["handed"], sum["taken"])
	}
	if in, out := sum["received"]+sum["originated"], sum["transmitted"]+sum["dropped"]+sum["passed-up"]+sum["held"]; in != out {
		t.Errorf("in sum %d frames came and %d went: %v", in, out, sum)
	}
	active, inactive := make([]int, s.roster.Slots()), make([]int, s.roster.Slots())
	for i, w := range s.workers {
		w.Table().Recount(active, inactive)
		has := len(w.free) + len(w.heldChunks())
		for k := range s.queues {
			q := s.queues[k][i].Queued()
			has += q.Fill + q.Receive + q.Transmit + q.Completion
		}
		if owed := slices.Max(s.crew.owed[i]); has != w.total || owed != 0 {
			t.Errorf("worker %d has %d chunks of %d, and owes %d", i, has, w.total, owed)
		}
	}
	for _, srv := range s.roster.Servers() {
		a, i := srv.Counts()
		if int(a) != active[srv.Slot] || int(i) != inactive[srv.Slot] {
			t.Errorf("%v counts %d and %d, the tables %d and %d", srv.Address.Address, a, i, active[srv.Slot], inactive[srv.Slot])
		}
	}
}

func TestEveryConnectionHasOneOwnerInBothDirections(t *testing.T) {
	for _, n := range several {
		s := gang(t, n)
		for owner := range n {
			for _, client := range s.of(owner, 20) {
				for at := range n {
					for _, answer := range []bool{false, true} {
						k, frame := s.frameOf(client, answer)
						s.queues[k][at].Inject(frame)
						s.world.run(t)
					}
				}
			}
			if got := s.workers[owner].Table().Len(); got != 20 {
				t.Errorf("worker %d of %d has %d connections, want its 20 clients", owner, n, got)
			}
		}
		s.books(t)
		if sum := s.totals(); sum["forwarded"] != uint64(40*n*n) || sum["handed"] != uint64(40*n*(n-1)) || sum["misplaced"] != 0 {
			t.Errorf("%v", sum)
		}
	}
}

func TestRoundRobinAlternatesOverAllWorkers(t *testing.T) {
	for _, n := range several {
		s := gang(t, n)
		if err := s.command(strings.Fields("-a -t 192.0.2.1:80 -r 10.0.0.12:8080 -m")); err != nil {
			t.Fatal(err)
		}
		one, two := s.serverOf("192.0.2.1:80", "10.0.0.11:8080"), s.serverOf("192.0.2.1:80", "10.0.0.12:8080")
		for k := range uint32(1000) {
			_, frame := s.bytesOf(fmt.Sprintf("public 198.51.100.%d:%d -> 192.0.2.1:80 tcp S", k%200, 1+k/200))
			s.arrive(0, frame)
			s.world.run(t)
			a, _ := one.Counts()
			b, _ := two.Counts()
			if b != k/2+1 || a != (k+1)/2 { // the newest comes first
				t.Fatalf("%d workers, after %d: %d and %d", n, k+1, a, b)
			}
		}
		s.books(t)
	}
}

// TestRoundRobinIsExactWhileWorkersRace: no order is promised then, but none
// is chosen twice in a row.
func TestRoundRobinIsExactWhileWorkersRace(t *testing.T) {
	const each = 500
	s := gang(t, 3)
	if err := s.command(strings.Fields("-a -t 192.0.2.1:80 -r 10.0.0.12:8080 -m")); err != nil {
		t.Fatal(err)
	}
	frames := make([][][]byte, 3)
	for i := range frames {
		for k := range each {
			_, f := s.bytesOf(fmt.Sprintf("public 198.51.%d.%d:%d -> 192.0.2.1:80 tcp S", i, k%200, 1+k/200))
			frames[i] = append(frames[i], f)
		}
	}
	s.race(t, func(i int, stop <-chan struct{}) {
		for _, f := range frames[i] {
			for !s.queues[0][i].Inject(f) {
			}
		}
	}, func() bool { return s.count("new-conns") == 3*each })
	s.books(t)
	a, _ := s.serverOf("192.0.2.1:80", "10.0.0.11:8080").Counts()
	b, _ := s.serverOf("192.0.2.1:80", "10.0.0.12:8080").Counts()
	if a != b || a+b != 3*each {
		t.Errorf("%d and %d connections", a, b)
	}
}

// count asks the workers for a total, whoever runs them.
func (s *script) count(name string) (sum uint64) {
	for _, w := range s.workers {
		w.Do(func() {
			w.Counters.Each(w.Held(), func(n string, x uint64) {
				if n == name {
					sum += x
				}
			})
		})
	}
	return sum
}

// race runs all workers, each with a goroutine that feeds its queues, until
// done says so and the feeders are through; then it settles what is left.
func (s *script) race(t *testing.T, feed func(i int, stop <-chan struct{}), done func() bool) {
	t.Helper()
	var clock atomic.Int64
	clock.Store(int64(s.now))
	now := func() Time { return Time(clock.Load()) }
	ctx, stop := context.WithCancel(context.Background())
	var working, feeding sync.WaitGroup
	ended := make(chan struct{})
	for i, w := range s.workers {
		for k := range s.queues {
			s.queues[k][i].OnInject(w.Wake)
		}
		working.Go(func() {
			if err := w.Run(ctx, now); err != nil {
				t.Error(err)
			}
		})
		feeding.Go(func() { feed(i, ended) })
	}
	eventually(t, func() bool {
		clock.Add(int64(Second / 1000))
		s.resolve()
		return done()
	})
	close(ended)
	feeding.Wait()
	stop()
	working.Wait()
	s.crew.Settle(now())
	s.now = now()
}

// TestWorkersRaceWithoutLosingAFrame has all kinds of frames come at all
// queues while services change. Run it with -race.
func TestWorkersRaceWithoutLosingAFrame(t *testing.T) {
	s := gang(t, 3)
	var frames [2][][]byte
	for k := range 64 {
		for _, line := range grown {
			line = strings.ReplaceAll(line, "198.51.100.7:", fmt.Sprintf("198.51.100.%d:", 7+k))
			n, f := s.bytesOf(line)
			frames[n] = append(frames[n], f)
		}
	}
	var rounds atomic.Int64
	s.race(t, func(i int, stop <-chan struct{}) {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		for {
			select {
			case <-stop:
				return
			default:
			}
			k := random.IntN(2)
			s.queues[k][i].Inject(frames[k][random.IntN(len(frames[k]))])
		}
	}, func() bool {
		n := rounds.Add(1)
		verb := []string{"-a -t 192.0.2.1:80 -r 10.0.0.12:8080 -m", "-d -t 192.0.2.1:80 -r 10.0.0.12:8080"}[n%2^1]
		s.change(t, verb)
		return n > 40 && s.count("handed") > 2000 && s.count("forwarded") > 2000 && s.count("passed-up") > 100
	})
	s.books(t)
	// What is left in the queues is treated as if nothing had happened.
	s.world.run(t)
	s.now += 400 * Second
	s.world.run(t)
	s.books(t)
}

// change carries out a command while workers run, as a director does.
func (s *script) change(t *testing.T, line string) {
	t.Helper()
	c, err := admin.Parse(strings.Fields(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.set.Apply(c.Edit); err != nil {
		t.Fatal(err)
	}
	s.follow(t)
}

// follow has running workers follow the set.
func (s *script) follow(t *testing.T) {
	t.Helper()
	if err := s.roster.Apply(&s.set); err != nil {
		t.Fatal(err)
	}
	for _, srv := range s.roster.Servers() {
		srv.SetLinks(2)
	}
	config := s.roster.Config()
	for _, w := range s.workers {
		w.Do(func() { w.Adopt(config, make([]Stat, s.roster.Slots())) })
	}
	s.roster.Publish()
}

func TestAFullLaneDropsAndCounts(t *testing.T) {
	s := gang(t, 2)
	client := s.of(1, 1)[0]
	_, frame := s.frameOf(client, false)
	s.workers[0].crew.hand[0][1] = newLane[handed](64)
	for range 3 {
		for range 60 {
			s.nics[0].Inject(frame)
		}
		s.workers[0].Round(s.now)
		s.check(t)
	}
	c := &s.workers[0].Counters
	if c.Handed != 64 || c.Dropped[HandFull] != 180-64 {
		t.Errorf("%+v", *c)
	}
	s.world.run(t)
	s.books(t)
	if got := s.workers[1].Counters.Taken; got != 64 {
		t.Errorf("%d taken", got)
	}
}

func TestADatagramInPiecesMeetsOnAnyQueues(t *testing.T) {
	for _, n := range several {
		var text strings.Builder
		text.WriteString("$ -A -u 192.0.2.1:53 -s rr\n$ -a -u 192.0.2.1:53 -r 10.0.0.11:5353 -m\n")
		id := 0
		for client := range 8 {
			from := fmt.Sprintf("198.51.100.%d:1", 7+client)
			fmt.Fprintf(&text, "public in %s -> 192.0.2.1:53 udp 9\nprivate out %s -> 10.0.0.11:5353 udp 9\n", from, from)
			fmt.Fprintf(&text, "private in 10.0.0.11:5353 -> %s udp 9\npublic out 192.0.2.1:53 -> %s udp 9\n", from, from)
			for order := range permutations([]int{0, 1, 2}) {
				for _, d := range [][2]string{
					{"public in " + from + " -> 192.0.2.1:53", "private out " + from + " -> 10.0.0.11:5353"},
					{"private in 10.0.0.11:5353 -> " + from, "public out 192.0.2.1:53 -> " + from},
				} {
					id++
					for _, k := range order {
						fmt.Fprintf(&text, "%s udp 900 id=%d frag=%d:320\n", d[0], id, 320*k)
					}
					for k := range 3 {
						fmt.Fprintf(&text, "%s udp 900 id=%d frag=%d:320\n", d[1], id, 320*k)
					}
				}
			}
		}
		text.WriteString("counters held=0 conns=8\n")
		playScript(t, topologies["twonic"], text.String(), sizes{conns: 1000, frames: 256 * n, ring: 256, workers: n})
	}
}

// TestADatagramInPiecesFindsTheConnectionOfAGoneService: the destination is no
// service any more, so its pieces go to the owner of the destination first.
func TestADatagramInPiecesFindsTheConnectionOfAGoneService(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		var text strings.Builder
		for client := range 12 {
			from := fmt.Sprintf("198.51.100.%d:1", 7+client)
			fmt.Fprintf(&text, "$ -A -u 192.0.2.1:53 -s rr\n$ -a -u 192.0.2.1:53 -r 10.0.0.11:5353 -m\n")
			fmt.Fprintf(&text, "public in %s -> 192.0.2.1:53 udp 9\nprivate out %s -> 10.0.0.11:5353 udp 9\n$ -D -u 192.0.2.1:53\n", from, from)
			fmt.Fprintf(&text, "public in %s -> 192.0.2.1:53 udp 500 id=9 frag=320:320\npublic in %s -> 192.0.2.1:53 udp 500 id=9 frag=0:320\n", from, from)
			fmt.Fprintf(&text, "counters drop.server-gone=%d held=0 passed-up=0\n", 2*(client+1))
		}
		playScript(t, topologies["twonic"], text.String(), sizes{conns: 1000, frames: 256 * n, ring: 256, workers: n})
	}
}

func TestAnErrorOnTheWrongQueueFindsItsConnection(t *testing.T) {
	for _, n := range several {
		s := gang(t, n)
		for owner := range n {
			client := s.of(owner, 1)[0]
			addr, port, _ := strings.Cut(client, ":")
			_, frame := s.frameOf(client, false)
			s.queues[0][owner].Inject(frame)
			s.world.run(t)
			_, e1 := s.bytesOf(fmt.Sprintf("public %s -> 192.0.2.1 icmp 3/3 about 192.0.2.1:53 -> %s udp 18", addr, client))
			_, e2 := s.bytesOf(fmt.Sprintf("private 10.0.0.11 -> %s icmp 3/3 about %s:%s -> 10.0.0.11:5353 udp 18", addr, addr, port))
			for at := range n {
				before := s.count("forwarded")
				s.queues[0][at].Inject(e1)
				s.queues[1][at].Inject(e2)
				s.world.run(t)
				if got := s.count("forwarded") - before; got != 2 {
					t.Errorf("%d workers, %s at queue %d: %d of 2 errors were translated", n, client, at, got)
				}
			}
		}
		s.books(t)
	}
}

// TestWhoIsHandedAFrameWakes feeds one worker frames that the other owns, one
// at a time, so that both sleep in between. A lost wake-up would cost a sleep
// each.
func TestWhoIsHandedAFrameWakes(t *testing.T) {
	s := gang(t, 2)
	_, frame := s.frameOf(s.of(1, 1)[0], false)
	const frames = 2000
	s.race(t, func(i int, stop <-chan struct{}) {
		if i != 0 {
			return
		}
		for k := uint64(1); k <= frames; {
			select {
			case <-stop:
				return
			default:
			}
			if s.nics[0].Inject(frame) {
				for ; s.queues[1][1].SentCount() < k; s.resolve() {
				}
				k++
			}
		}
	}, func() bool { return s.queues[1][1].SentCount() >= frames })
	s.books(t)
	if c := s.workers[1].Counters; c.Taken != frames || c.Received != 0 {
		t.Errorf("%+v", c)
	}
}

func TestAWorkerThatSleepsIsToldAndOneThatIsAboutToLooks(t *testing.T) {
	s := gang(t, 2)
	w := s.workers[1]
	_, frame := s.frameOf(s.of(1, 1)[0], false)
	s.nics[0].Inject(frame)
	s.world.run(t) // the hop is known now
	close, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	defer close()
	told := func() bool {
		var count [8]byte
		n, _ := unix.Read(int(w.sleeper.event.Load()-1), count[:])
		return n == 8
	}
	s.nics[0].Inject(frame)
	s.workers[0].Round(s.now)
	if told() {
		t.Error("told while it was awake")
	}
	if !w.hasHanded() {
		t.Error("it does not see the frame when it looks once more")
	}
	w.Round(s.now)
	w.sleeper.asleep.Store(true)
	s.nics[0].Inject(frame)
	s.workers[0].Round(s.now)
	if !told() {
		t.Error("asleep, and nobody told it of a frame")
	}
	w.sleeper.asleep.Store(false)
	w.Round(s.now)
	if !s.workers[0].hasHanded() {
		t.Error("worker 0 does not see the chunk for its frame when it looks once more")
	}
}

func TestWhatIsUnderWayAtTheEndIsSettled(t *testing.T) {
	s := gang(t, 3)
	for i := range 3 {
		for _, client := range s.of(i, 15) {
			_, frame := s.frameOf(client, false)
			s.queues[0][(i+1)%3].Inject(frame)
		}
	}
	for i := range 30 { // pieces: to the one who gathers, then to the owner
		_, one := s.bytesOf(fmt.Sprintf("public 198.51.100.9:%d -> 192.0.2.1:53 udp 500 id=%d frag=0:320", i, i))
		_, two := s.bytesOf(fmt.Sprintf("public 198.51.100.9:%d -> 192.0.2.1:53 udp 500 id=%d frag=320:320", i, i))
		s.queues[0][i%3].Inject(one)
		s.queues[0][(i+1)%3].Inject(two)
	}
	for _, w := range s.workers {
		w.Round(s.now)
	}
	s.crew.Settle(s.now)
	s.check(t)
	sum := s.totals()
	if sum["handed"] != sum["taken"] || sum["handed"] < 45 {
		t.Errorf("%d frames were handed over, %d taken", sum["handed"], sum["taken"])
	}
}

// TestAWorkerPaysAtOnce: who hands everything over gets as many chunks back,
// although the other NIC takes nothing and the frames stay in its ring.
func TestAWorkerPaysAtOnce(t *testing.T) {
	s := gang(t, 2)
	clients := s.of(1, 60)
	send := func() {
		for _, client := range clients {
			_, frame := s.frameOf(client, false)
			s.queues[0][0].Inject(frame)
		}
		s.world.run(t)
	}
	send()
	s.queues[1][1].SetDown(true)
	for range 20 {
		send()
	}
	if q := s.queues[1][1].Queued(); q.Transmit < 200 {
		t.Errorf("only %d frames are stuck", q.Transmit)
	}
	if q := s.queues[0][0].Queued(); q.Fill != s.worker.fill {
		t.Errorf("worker 0 receives into %d chunks, want %d", q.Fill, s.worker.fill)
	}
	s.books(t)
}

func TestNoTwoWorkersMakeTheSameIdentification(t *testing.T) {
	s := gang(t, 3)
	seen := map[uint32]int{}
	for i, w := range s.workers {
		for range 10000 {
			id := w.nextID()
			if other, ok := seen[id]; ok && other != i {
				t.Fatalf("workers %d and %d both made %#x", i, other, id)
			}
			seen[id] = i
		}
	}
}

func TestHandingOverAllocatesNothing(t *testing.T) {
	s := gang(t, 2)
	_, frame := s.frameOf(s.of(1, 1)[0], false)
	_, piece1 := s.bytesOf("public 198.51.100.9:1 -> 192.0.2.1:53 udp 500 frag=0:320")
	_, piece2 := s.bytesOf("public 198.51.100.9:1 -> 192.0.2.1:53 udp 500 frag=320:320")
	_, e := s.bytesOf("public 198.51.100.9 -> 192.0.2.1 icmp 3/3 about 192.0.2.1:53 -> 198.51.100.9:1 udp 18")
	id := uint16(0)
	run := func() {
		s.now += Second
		for k, f := range [][]byte{frame, piece1, piece2, e} {
			if k == 1 || k == 2 {
				id += uint16(k & 1)
				setID(f, id)
			}
			s.arrive(0, f)
		}
		for range 3 {
			for _, w := range s.workers {
				w.Round(s.now)
			}
		}
	}
	for range 10 {
		run()
		s.resolve()
	}
	before := s.count("handed")
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := s.count("handed") - before; n < 200 {
		t.Errorf("only %d frames were handed over", n)
	}
	s.books(t)
}

// setID changes the identification of an IPv4 frame, checksum included.
func setID(frame []byte, id uint16) {
	binary.BigEndian.PutUint16(frame[18:], id)
	clear(frame[24:26])
	binary.BigEndian.PutUint16(frame[24:], ^wordSum(frame[14:34]))
}

// TestNICsThatPlaceByTheClientLeaveNothingToHandOver has two NICs in software
// place generated frames by Toeplitz; what they cannot place is handed over
// and, if they should have, counted.
func TestNICsThatPlaceByTheClientLeaveNothingToHandOver(t *testing.T) {
	const workers = 3
	spread := rss.Spread{Key: rss.SymmetricKey(52), Function: rss.FunctionToeplitz}
	for i := range 128 {
		spread.Queues = append(spread.Queues, uint32(i%workers))
	}
	placed, err := rss.NewPlacement(workers, spread)
	if err != nil {
		t.Fatal(err)
	}
	s := crowd(t, sizes{conns: 4000, frames: 512 * workers, ring: 256, workers: workers, placed: placed})
	place := func(frame []byte, fields rss.Fields) int {
		var p packet.Packet
		if packet.Parse(slices.Clone(frame), &p) != packet.OK || !p.HasPorts || p.Fragment {
			return 0 // what a NIC cannot hash
		}
		return int(spread.Queues[rss.Toeplitz(spread.Key, rss.Input(p.Flow(), fields))%128])
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		client := fmt.Sprintf("198.51.100.%d:%d", random.IntN(250), 1+random.IntN(60000))
		in, out := "public "+client+" -> 192.0.2.1:53 udp 18", "private 10.0.0.11:5353 -> "+client+" udp 18"
		if random.IntN(2) == 0 {
			client = fmt.Sprintf("[2001:db8:7::%x]:%d", 1+random.IntN(60000), 1+random.IntN(60000))
			in, out = "public "+client+" -> [2001:db8::1]:53 udp 18", "private [fd00::11]:5353 -> "+client+" udp 18"
		}
		_, frame := s.bytesOf(in)
		s.queues[0][place(frame, rss.Source)].Inject(frame)
		s.world.run(t)
		_, frame = s.bytesOf(out)
		s.queues[1][place(frame, rss.Destination)].Inject(frame)
		s.world.run(t)
	}
	if sum := s.totals(); sum["forwarded"] != 1000 || sum["handed"] != 0 || sum["misplaced"] != 0 {
		t.Fatalf("%v", sum)
	}
	client := s.of(1, 1)[0]
	addr, _, _ := strings.Cut(client, ":")
	for _, c := range []struct {
		line      string
		misplaced uint64
	}{
		{"public " + client + " -> 192.0.2.1:53 udp 18", 1},
		{"public " + client + " -> 192.0.2.1:53 udp 500 id=4 frag=0:320", 1},
		{"public " + client + " -> 192.0.2.1:53 udp 500 id=4 frag=320:320", 1},
		{"public " + addr + " -> 192.0.2.1 icmp 3/3 about 192.0.2.1:53 -> " + client + " udp 18", 1},
	} {
		_, frame := s.bytesOf(c.line)
		s.queues[0][0].Inject(frame)
		s.world.run(t)
		if got := s.totals()["misplaced"]; got != c.misplaced {
			t.Errorf("%s: %d misplaced, want %d", c.line, got, c.misplaced)
		}
	}
	s.books(t)
}

func TestACrewFitsTogether(t *testing.T) {
	s := gang(t, 2)
	other := newWorld(t, topologies["twonic"], sizes{conns: 8, frames: s.pool.Chunks(), ring: 64})
	if _, err := NewCrew([]*Worker{s.workers[0], other.worker}, 1); err == nil {
		t.Error("a crew over two pools")
	}
}

// TestAServerIsNotForgottenWhileItsConnectionChanges looks at a deleted server
// whose only connection becomes active and inactive all the time.
func TestAServerIsNotForgottenWhileItsConnectionChanges(t *testing.T) {
	s := gang(t, 2)
	srv := s.serverOf("192.0.2.1:80", "10.0.0.11:8080")
	srv.counts.Begin(false)
	if err := s.command(strings.Fields("-d -t 192.0.2.1:80 -r 10.0.0.11:8080")); err != nil {
		t.Fatal(err)
	}
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := range 200_000 {
			srv.counts.Change(i%2 == 0)
		}
	})
	for range 20_000 {
		if gone := s.roster.Collect(); len(gone) > 0 {
			t.Fatal("it was forgotten")
		}
	}
	changing.Wait()
	srv.counts.End(false)
	if gone := s.roster.Collect(); len(gone) != 1 {
		t.Errorf("%d servers were forgotten at the end", len(gone))
	}
}
