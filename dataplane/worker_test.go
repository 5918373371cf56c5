package dataplane

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
)

func TestTheFirstReasonsAreTheFaults(t *testing.T) {
	for f := packet.OK + 1; f < packet.NumFaults; f++ {
		if ofFault(f).String() != f.String() {
			t.Errorf("fault %v is reason %v", f, ofFault(f))
		}
	}
	for r := range NumReasons {
		if r.String() == "" || r.String() == "invalid" {
			t.Errorf("reason %d has no name", r)
		}
	}
	if NumReasons.String() != "invalid" {
		t.Error("there is a reason too many")
	}
}

func TestFragmentsComeTogetherInAnyOrder(t *testing.T) {
	directions := []struct{ in, out string }{
		{"public in 198.51.100.7:1 -> 192.0.2.1:53", "private out 198.51.100.7:1 -> 10.0.0.11:5353"},
		{"private in 10.0.0.11:5353 -> 198.51.100.7:1", "public out 192.0.2.1:53 -> 198.51.100.7:1"},
	}
	text := "$ -A -u 192.0.2.1:53 -s rr\n$ -a -u 192.0.2.1:53 -r 10.0.0.11:5353 -m\n" +
		directions[0].in + " udp 9\n" + directions[0].out + " udp 9\n" +
		directions[1].in + " udp 9\n" + directions[1].out + " udp 9\n" // both hops are known now
	id := 0
	for order := range permutations([]int{0, 1, 2, 3}) {
		for _, d := range directions {
			id++
			for _, k := range order {
				text += fmt.Sprintf("%s udp 1200 id=%d frag=%d:320\n", d.in, id, 320*k)
			}
			for k := range 4 {
				text += fmt.Sprintf("%s udp 1200 id=%d frag=%d:320\n", d.out, id, 320*k)
			}
		}
	}
	runScript(t, topologies["twonic"], text)
	if id != 48 {
		t.Errorf("%d datagrams", id)
	}
}

func permutations(of []int) func(yield func([]int) bool) {
	return func(yield func([]int) bool) {
		if len(of) == 0 {
			yield(nil)
			return
		}
		for i, first := range of {
			for rest := range permutations(slices.Delete(slices.Clone(of), i, i+1)) {
				if !yield(append([]int{first}, rest...)) {
					return
				}
			}
		}
	}
}

func TestAWorkerWithoutAConfigurationForwardsNothing(t *testing.T) {
	x := newWorld(t, topologies["twonic"], sizes{conns: 8, frames: 64, ring: 64})
	s := &script{world: x}
	w, err := NewWorker(Setup{Pool: x.pool, Chunks: []uint64{0, 4096}, Fill: 2, NICs: []Queues{{x.nics[0]}, {x.nics[1]}},
		Table: x.worker.Table(), Hops: x.hops, Routes: &x.routes})
	if err != nil {
		t.Fatal(err)
	}
	w.Round(1)
	_, frame := s.bytesOf(opened[0])
	x.nics[0].Inject(frame)
	w.Round(2)
	if w.Counters.Received != 1 || w.Counters.Dropped[NoLink] != 1 {
		t.Errorf("%+v", w.Counters)
	}
	if _, err := NewWorker(Setup{}); !errors.Is(err, ErrSetup) {
		t.Errorf("a worker of nothing: %v", err)
	}
}

// TestBooksBalanceOverFaultyQueues forwards all kinds of frames over NICs that
// lose, spoil and refuse them. world.check looks at the books every round.
func TestBooksBalanceOverFaultyQueues(t *testing.T) {
	s := crowd(t, sizes{conns: 50, frames: 128, ring: 32})
	faults := nic.Faults{Seed: 1, LoseReceived: .05, LoseSent: .05, Flip: .05, ShortTransmit: .1, DownEvery: 50, DownFor: 10}
	x := s.world
	x.ledger = nic.NewLedger(x.pool)
	setup := Setup{Pool: x.pool, Fill: 32, Table: x.worker.Table(), Hops: x.hops, Routes: &x.routes, Upward: &x.up, Seed: 1}
	for c := range x.pool.Chunks() {
		setup.Chunks = append(setup.Chunks, uint64(c)*uint64(x.pool.Chunk))
	}
	var faulty []*nic.Faulty
	for n := range x.nics {
		x.nics[n] = nic.NewMemory(x.pool, nic.Rings{Receive: 64, Transmit: 32, Fill: 64, Completion: 32})
		x.nics[n].Discard(true)
		faulty = append(faulty, nic.NewFaulty(x.nics[n], x.pool, faults))
		setup.NICs = append(setup.NICs, Queues{x.ledger.Watch(faulty[n], "nic")})
	}
	var err error
	if x.worker, err = NewWorker(setup); err != nil {
		t.Fatal(err)
	}
	x.workers = []*Worker{x.worker}
	x.adopt()
	random := rand.New(rand.NewPCG(1, 1))
	for round := range 3000 {
		for range random.IntN(6) {
			n, frame := s.bytesOf(grown[random.IntN(len(grown))])
			x.nics[n].Inject(frame)
		}
		for _, f := range faulty {
			f.Kick() // a link that is down comes up again by itself
		}
		x.now += Time(random.Int64N(int64(Second)))
		x.worker.Round(x.now)
		x.check(t)
		x.resolve()
		if round%100 == 0 {
			x.hops.Set(1, addrOf("10.0.0.11"), HopFailed, MAC{})
		}
	}
	if c := &x.worker.Counters; c.Forwarded < 500 || c.Dropped[TxFull] == 0 || c.PassedUp == 0 {
		t.Errorf("too little happened: %+v", c)
	}
}

// TestServersCountTheirConnections plays random segments on a small table and
// compares what servers count with what the table holds.
func TestServersCountTheirConnections(t *testing.T) {
	s := crowd(t, sizes{conns: 6, frames: 64, ring: 64})
	random := rand.New(rand.NewPCG(2, 2))
	flags := []string{"S", "S", "A", "FA", "R", "SA", "PA"}
	server := "-t 192.0.2.1:80 -r 10.0.0.12:8080"
	there := false
	for range 5000 {
		client := fmt.Sprintf("198.51.100.%d:%d", 1+random.IntN(5), 1+random.IntN(8))
		line := fmt.Sprintf("public %s -> 192.0.2.1:80 tcp %s", client, flags[random.IntN(len(flags))])
		if random.IntN(2) == 0 {
			line = fmt.Sprintf("private 10.0.0.1%d:8080 -> %s tcp %s", 1+random.IntN(2), client, flags[random.IntN(len(flags))])
		}
		n, frame := s.bytesOf(line)
		s.nics[n].Inject(frame)
		if random.IntN(3) == 0 {
			s.now += Time(random.Int64N(int64(10 * Second)))
			s.world.run(t)
		}
		if random.IntN(50) == 0 {
			verb := map[bool]string{false: "-a " + server + " -m", true: "-d " + server}[there]
			if err := s.command(strings.Fields(verb)); err != nil {
				t.Fatal(err)
			}
			there = !there
		}
	}
	s.world.run(t)
	slots := s.roster.Slots()
	active, inactive := make([]int, slots), make([]int, slots)
	s.worker.Table().Recount(active, inactive)
	for _, srv := range s.roster.Servers() {
		a, i := srv.Counts()
		if int(a) != active[srv.Slot] || int(i) != inactive[srv.Slot] {
			t.Errorf("%v counts %d and %d, the table %d and %d", srv.Address.Address, a, i, active[srv.Slot], inactive[srv.Slot])
		}
	}
	if c := s.worker.Counters; c.NewConns < 500 || c.Expired < 50 || c.Dropped[TableFull] == 0 || c.Dropped[ServerGone] == 0 {
		t.Errorf("too little happened: %+v", c)
	}
}

func TestARunningWorkerSleepsAndIsWoken(t *testing.T) {
	s := crowd(t, sizes{conns: 100, frames: 64, ring: 64})
	w := s.worker
	var clock atomic.Int64
	clock.Store(int64(s.now))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx, func() Time { return Time(clock.Load()) }) }()
	s.nics[0].OnInject(w.Wake)
	counted := func() (forwarded, rounds uint64) {
		w.Do(func() { forwarded, rounds = w.Counters.Forwarded, w.Counters.Rounds })
		return forwarded, rounds
	}
	_, frame := s.bytesOf(opened[0])
	for n := range uint64(20) {
		if !s.nics[0].Inject(frame) {
			t.Fatal("not taken")
		}
		eventually(t, func() bool {
			w.Do(s.resolve)
			forwarded, _ := counted()
			return forwarded == n+1
		})
	}
	eventually(t, func() bool { return s.nics[1].SentCount() == 20 })
	if err := w.Run(ctx, nil); !errors.Is(err, ErrRunning) {
		t.Errorf("a second run: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	ran := false
	w.Do(func() { ran = true })
	if !ran {
		t.Error("work for a worker at rest was not done")
	}
	s.check(t)
}

// A nap keeps the processor from others, so only who has just worked takes
// one, and what comes meanwhile ends it.
func TestAWorkerNapsOnlyAfterWork(t *testing.T) {
	s := crowd(t, sizes{conns: 100, frames: 64, ring: 64})
	w := s.worker
	naps := 0
	w.sleeper.nap = func(epoll int, events []unix.EpollEvent, most time.Duration) int {
		naps++
		if most != napSlice {
			t.Errorf("a nap of %v", most)
		}
		n, _ := unix.EpollWait(epoll, events, 0)
		return n
	}
	close, err := w.open()
	if err != nil {
		t.Fatal(err)
	}
	defer close()
	for _, c := range []struct {
		worked bool
		naps   int
	}{{false, 0}, {true, 1}} {
		w.sleeper.asleep.Store(true)
		w.Wake()
		if err := w.sleep(t.Context(), c.worked); err != nil || naps != c.naps {
			t.Errorf("worked %t: %d naps, %v", c.worked, naps, err)
		}
		if n, err := unix.EpollWait(w.sleeper.epoll, w.sleeper.events, 0); n != 0 || err != nil {
			t.Errorf("worked %t: the wake-up was not taken: %d, %v", c.worked, n, err)
		}
	}
}

// What ends at the same time is more than one round can end.
func TestAWorkerSleepsOnlyWhenAllThatIsOverHasEnded(t *testing.T) {
	s := crowd(t, sizes{conns: 1000, frames: 64, ring: 64})
	w := s.worker
	for i := range 600 {
		n, frame := s.bytesOf(fmt.Sprintf("public 198.51.100.7:%d -> 192.0.2.1:53 udp 9", 1000+i))
		s.nics[n].Inject(frame)
		w.Round(s.now)
	}
	s.now += 400 * Second
	for left := []int{344, 88, 0}; len(left) > 0; left = left[1:] {
		w.Round(s.now)
		if n := w.Table().Len(); n != left[0] || w.sweeps() != (n > 0) {
			t.Errorf("%d connections are left, not %d; more to do: %t", n, left[0], w.sweeps())
		}
	}
}

func eventually(t *testing.T, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if true() {
			return
		}
	}
	t.Fatal("it never happened")
}

// TestCommandsLoseNoPacketOfOthers changes one service all the time while
// packets of another one flow.
func TestCommandsLoseNoPacketOfOthers(t *testing.T) {
	s := crowd(t, sizes{conns: 1000, frames: 256, ring: 256})
	w := s.worker
	_, frame := s.bytesOf(opened[0])
	s.nics[0].Inject(frame)
	s.world.run(t)
	s.nics[0].OnInject(w.Wake)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	start := time.Now()
	go func() { done <- w.Run(ctx, func() Time { return s.now + Time(time.Since(start)) }) }()
	before := s.nics[1].SentCount()
	sent := make(chan uint64)
	finished := make(chan struct{})
	go func() {
		n := uint64(0)
		for {
			select {
			case <-finished:
				sent <- n
				return
			default:
			}
			if s.nics[0].Queued().Receive < 32 && s.nics[0].Inject(frame) {
				n++
			}
		}
	}()
	for i := range 200 {
		line := []string{"-A -t 192.0.2.1:81 -s wlc", "-a -t 192.0.2.1:81 -r 10.0.0.11 -m", "-e -t 192.0.2.1:81 -r 10.0.0.11 -m -w 0", "-D -t 192.0.2.1:81"}[i%4]
		c, err := admin.Parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.set.Apply(c.Edit), s.roster.Apply(&s.set)); err != nil {
			t.Fatal(err)
		}
		config, stats := s.roster.Config(), make([]Stat, s.roster.Slots())
		w.Do(func() { w.Adopt(config, stats) })
		s.roster.Publish()
		s.roster.Collect()
		seen := s.nics[1].SentCount()
		eventually(t, func() bool { return s.nics[1].SentCount() > seen })
	}
	close(finished)
	n := <-sent
	eventually(t, func() bool { return s.nics[1].SentCount() == before+n })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if w.Counters.DroppedTotal() != 0 || n < 100 {
		t.Errorf("of %d packets %d were dropped", n, w.Counters.DroppedTotal())
	}
}
