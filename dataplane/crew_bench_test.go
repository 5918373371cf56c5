package dataplane

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/rss"
	"golang.org/x/sys/unix"
)

// squad is a crew of workers, each between belts of its own, with one UDP
// service. NIC 0 faces the clients.
type squad struct {
	*script
	belts [][2]*belt // by worker
}

func newSquad(b *testing.B, workers, conns int, placed *rss.Placement) *squad {
	b.Helper()
	q := &squad{script: &script{world: &world{topology: topologies["twonic"], now: 1000 * Second}, names: map[string]int{}}}
	x := q.world
	x.up.count = true
	x.pool, x.hops = nic.NewPool(1024*workers, 4096), NewHops()
	for _, r := range x.topology.routes {
		x.routes.add(x.links, strings.Fields(r))
	}
	for i := range workers {
		table, err := conntrack.New(conntrack.Config{Capacity: conns, Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = table.Close() })
		belts := [2]*belt{{pool: x.pool, idle: true}, {pool: x.pool, idle: true}}
		s := Setup{Pool: x.pool, Fill: 128, Table: table, Hops: x.hops, Routes: &x.routes, Upward: &x.up, Seed: 1, NICs: []Queues{{belts[0]}, {belts[1]}}}
		for c := i * 1024; c < (i+1)*1024; c++ {
			s.Chunks = append(s.Chunks, uint64(c)*uint64(x.pool.Chunk))
		}
		w, err := NewWorker(s)
		if err != nil {
			b.Fatal(err)
		}
		x.workers, q.belts = append(x.workers, w), append(q.belts, belts)
	}
	x.worker = x.workers[0]
	var err error
	if workers > 1 {
		if x.crew, err = NewCrew(x.workers, 1); err != nil {
			b.Fatal(err)
		}
		x.crew.Place(placed)
	}
	if x.roster, err = NewRoster(x.links); err != nil {
		b.Fatal(err)
	}
	x.adopt()
	for _, line := range []string{"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.0.11:5353 -m"} {
		if err := x.command(strings.Fields(line)); err != nil {
			b.Fatal(err)
		}
	}
	for _, w := range x.workers {
		w.Round(x.now)
	}
	return q
}

// stock returns a writer of frames of n clients, of those that a worker owns
// if owner is not negative.
func (q *squad) stock(n, owner int) func([]byte) {
	var frames [][beltFrame]byte
	for k := 0; len(frames) < n; k++ {
		client := packet.Endpoint{Addr: packet.AddrFrom4(0x64400000 + uint32(k>>4)), Port: uint16(1024 + k&15)}
		if owner >= 0 && q.crew != nil && q.crew.owner(client) != owner {
			continue
		}
		_, frame := q.bytesOf(fmt.Sprintf("public %v -> 192.0.2.1:53 udp 18", client.Netip()))
		frames = append(frames, [beltFrame]byte(append(frame, make([]byte, beltFrame)...)))
	}
	i := 0
	return func(f []byte) {
		if i++; i >= len(frames) {
			i = 0
		}
		*(*[beltFrame]byte)(f) = frames[i]
	}
}

// warm opens the connections of all that the belts bring.
func (q *squad) warm(b *testing.B, n int) {
	b.Helper()
	for range 3*n/BatchSize + 10 {
		for _, w := range q.workers {
			w.Round(q.now)
		}
		q.resolve()
	}
	for _, w := range q.workers {
		w.Counters = Counters{}
	}
}

// span is what a run took.
type span struct {
	packets   uint64
	wall, cpu time.Duration // cpu of all threads
}

func (s span) per(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(s.packets) }

// alone runs all workers on one thread until the first has received packets.
func (q *squad) alone(packets int) span {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, start, spent := q.forwarded(), time.Now(), cpuTime()
	for range packets / BatchSize {
		q.now += 10_000
		for _, w := range q.workers {
			w.Round(q.now)
		}
	}
	return span{q.forwarded() - before, time.Since(start), time.Duration(cpuTime() - spent)}
}

// apart runs every worker on a thread of its own until they have received
// packets in all. They begin when all of them have a core.
func (q *squad) apart(packets int) span {
	var group sync.WaitGroup
	var ready, received atomic.Int64
	begun, ended := make([]time.Time, len(q.workers)), make([]time.Time, len(q.workers))
	before := q.forwarded()
	for i, w := range q.workers {
		group.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for ready.Add(1); ready.Load() < int64(len(q.workers)); {
			}
			begun[i] = time.Now()
			for now, was := q.now, w.Counters.Received; received.Load() < int64(packets); was = w.Counters.Received {
				now += 10_000
				if !w.Round(now) {
					_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
				}
				received.Add(int64(w.Counters.Received - was))
			}
			ended[i] = time.Now()
		})
	}
	group.Wait()
	q.now += 10_000 * Time(packets/BatchSize)
	first, last := slices.MinFunc(begun, time.Time.Compare), slices.MaxFunc(ended, time.Time.Compare)
	q.bring(false)
	for range 40 { // what is under way
		for _, w := range q.workers {
			w.Round(q.now)
		}
	}
	q.bring(true)
	return span{packets: q.forwarded() - before, wall: last.Sub(first)}
}

// bring has clients send, or not.
func (q *squad) bring(on bool) {
	for _, b := range q.belts {
		b[0].idle = !on
	}
}

func (q *squad) forwarded() (n uint64) {
	for _, w := range q.workers {
		n += w.Counters.Forwarded
	}
	return n
}

// complete fails if a frame was lost.
func (q *squad) complete(b *testing.B) {
	b.Helper()
	for _, w := range q.workers {
		if n := w.Counters.DroppedTotal(); n != 0 {
			b.Fatalf("%d frames were dropped: %+v", n, w.Counters)
		}
	}
}

// BenchmarkHandOver compares packets that worker 0 receives and owns with
// those that it hands to worker 1: on one thread, so that it is the work of
// both and nothing hides in parallel. Runs alternate; the best of each counts.
func BenchmarkHandOver(b *testing.B) {
	for _, clients := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			local, handed := newSquad(b, 2, 2*clients, allTo(0, 2)), newSquad(b, 2, 2*clients, allTo(1, 2))
			for _, q := range []*squad{local, handed} {
				q.belts[0][0].idle, q.belts[0][0].write = false, q.stock(clients, -1)
				q.warm(b, clients)
			}
			here, there := 1e9, 1e9
			for b.Loop() {
				l, h := local.alone(1<<18), handed.alone(1<<18)
				here, there = min(here, l.per(l.cpu)), min(there, h.per(h.cpu))
			}
			local.complete(b)
			handed.complete(b)
			b.ReportMetric(here, "ns/owned")
			b.ReportMetric(there, "ns/handed")
			b.ReportMetric(there-here, "ns/hand-over")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkTwoWorkers compares two workers on two threads with one on one,
// where NICs place packets by the client, and where half of them have to be
// handed over. Runs alternate and are short; the best of each counts. x-by-work
// compares what both workers' work takes on one thread, which a busy machine
// does not change.
func BenchmarkTwoWorkers(b *testing.B) {
	const clients = 1000
	for _, name := range []string{"placed", "anyhow"} {
		b.Run(name, func(b *testing.B) {
			one, two := newSquad(b, 1, 4*clients, nil), newSquad(b, 2, 4*clients, nil)
			one.belts[0][0].write = one.stock(clients, -1)
			for i := range 2 {
				owner := i
				if name == "anyhow" {
					owner = -1
				}
				two.belts[i][0].write = two.stock(clients/2, owner)
			}
			one.bring(true)
			two.bring(true)
			one.warm(b, clients)
			two.warm(b, clients)
			wall, work := [2]float64{1e9, 1e9}, [2]float64{1e9, 1e9}
			for b.Loop() {
				for i, q := range []*squad{one, two} {
					for range 8 {
						s := q.apart(1 << 14)
						wall[i] = min(wall[i], s.per(s.wall))
					}
					s := q.alone(1 << 18)
					work[i] = min(work[i], s.per(s.cpu))
				}
			}
			b.ReportMetric(wall[0], "ns/one")
			b.ReportMetric(wall[1], "ns/two")
			b.ReportMetric(wall[0]/wall[1], "x-faster")
			b.ReportMetric(2*work[0]/work[1], "x-by-work")
			b.ReportMetric(0, "ns/op")
			one.complete(b)
			if name == "placed" {
				two.complete(b)
			}
		})
	}
}

// BenchmarkTwoWorkersOpening has every packet open a connection of one
// service, whose scheduler and counts both workers share.
func BenchmarkTwoWorkersOpening(b *testing.B) {
	const runs, packets, room = 24, 1 << 14, 1_000_000
	one, two := newSquad(b, 1, room, nil), newSquad(b, 2, room, nil)
	one.belts[0][0].write = one.callers(-1)
	for i := range 2 {
		two.belts[i][0].write = two.callers(i)
	}
	wall := [2]float64{1e9, 1e9}
	for _, q := range []*squad{one, two} {
		q.bring(true)
		q.warm(b, BatchSize)
	}
	for range runs {
		for i, q := range []*squad{one, two} {
			s := q.apart(packets)
			wall[i] = min(wall[i], s.per(s.wall))
		}
	}
	one.complete(b)
	two.complete(b)
	b.ReportMetric(wall[0], "ns/one")
	b.ReportMetric(wall[1], "ns/two")
	b.ReportMetric(wall[0]/wall[1], "x-faster")
	b.ReportMetric(0, "ns/op")
}

// callers returns a writer of frames that are a new client each, of those that
// a worker owns if owner is not negative.
func (q *squad) callers(owner int) func([]byte) {
	next := clients(udpIn, 1<<28, 26, 34)
	return func(f []byte) {
		for {
			next(f)
			client := packet.Endpoint{Addr: packet.AddrFrom4(binary.BigEndian.Uint32(f[26:])), Port: binary.BigEndian.Uint16(f[34:])}
			if owner < 0 || q.crew.owner(client) == owner {
				return
			}
		}
	}
}
