package dataplane

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
	"golang.org/x/sys/unix"
)

// belt is a queue that always has a batch: it writes the next frame into each
// chunk that it was given to fill, and takes back what is sent at once.
type belt struct {
	pool  *nic.Pool
	fill  []uint64
	sent  []uint64
	idle  bool
	write func(frame []byte) // makes the next frame
}

const beltFrame = 60 // and 4 bytes of checksum on the wire

func (b *belt) Receive(frames []nic.Frame) int {
	if b.idle {
		return 0
	}
	frames = frames[:min(len(frames), len(b.fill))]
	for i := range frames {
		chunk := b.fill[len(b.fill)-1]
		b.fill = b.fill[:len(b.fill)-1]
		frames[i] = nic.Frame{Addr: chunk + nic.Headroom, Len: beltFrame}
		b.write(b.pool.Data(frames[i]))
	}
	return len(frames)
}

func (b *belt) Transmit(frames []nic.Frame) int {
	for i := range frames {
		b.sent = append(b.sent, b.pool.Start(frames[i].Addr))
	}
	return len(frames)
}

func (b *belt) Complete(chunks []uint64) int {
	n := copy(chunks, b.sent)
	b.sent = b.sent[:copy(b.sent, b.sent[n:])]
	return n
}

func (b *belt) Fill(chunks []uint64) int {
	for _, c := range chunks {
		b.fill = append(b.fill, b.pool.Start(c))
	}
	return len(chunks)
}

func (b *belt) Kick()            {}
func (b *belt) FD() int          { return -1 }
func (b *belt) Stats() nic.Stats { return nic.Stats{} }

// bench is a worker between two belts, with one UDP service.
type bench struct {
	*world
	public, private *belt
}

func newBench(b *testing.B, conns int) *bench {
	b.Helper()
	return newBenchIn(b, conns, nil)
}

// newBenchIn has the table lie in mem, nil for memory of its own.
func newBenchIn(b *testing.B, conns int, mem []byte) *bench {
	b.Helper()
	x := &world{topology: topologies["twonic"], now: 1000 * Second}
	x.pool = nic.NewPool(1024, 4096)
	table, err := conntrack.New(conntrack.Config{Capacity: conns, Memory: mem, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = table.Close() })
	x.hops = NewHops()
	for _, r := range x.topology.routes {
		x.routes.add(x.links, strings.Fields(r))
	}
	y := &bench{world: x, public: &belt{pool: x.pool, idle: true}, private: &belt{pool: x.pool, idle: true}}
	s := Setup{Pool: x.pool, Fill: 128, Table: table, Hops: x.hops, Routes: &x.routes, Upward: &x.up, Seed: 1}
	s.NICs = []Queues{{y.public}, {y.private}}
	for c := range x.pool.Chunks() {
		s.Chunks = append(s.Chunks, uint64(c)*uint64(x.pool.Chunk))
	}
	if x.worker, err = NewWorker(s); err != nil {
		b.Fatal(err)
	}
	x.workers = []*Worker{x.worker}
	if x.roster, err = NewRoster(x.links); err != nil {
		b.Fatal(err)
	}
	x.adopt()
	x.worker.Round(x.now)
	for _, line := range []string{"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.0.11:5353 -m", "-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.0.11:8080 -m"} {
		if err := x.command(strings.Fields(line)); err != nil {
			b.Fatal(err)
		}
	}
	return y
}

// clients writes frames of n clients in a scattered order; at is where their
// endpoint stands in the frame.
func clients(line string, n, addrAt, portAt int) func([]byte) {
	s := &script{world: &world{topology: topologies["twonic"]}}
	for _, r := range s.topology.routes {
		s.routes.add(s.links, strings.Fields(r))
	}
	_, frame := s.bytesOf(line)
	frame = append(frame, make([]byte, beltFrame)...)[:beltFrame]
	template := [beltFrame]byte(frame)
	binary.BigEndian.PutUint32(template[addrAt:], 0)
	binary.BigEndian.PutUint16(template[24:], 0)
	base := uint32(wordSum(template[14:34]))
	i := uint32(0)
	return func(f []byte) {
		*(*[beltFrame]byte)(f) = template
		if i++; i >= uint32(n) {
			i = 0
		}
		k := uint32(uint64(i) * 2654435761 % uint64(n))
		a := 0x64400000 + k>>4
		binary.BigEndian.PutUint32(f[addrAt:], a)
		binary.BigEndian.PutUint16(f[portAt:], uint16(1024+k&15))
		sum := base + a>>16 + a&0xffff
		sum = sum&0xffff + sum>>16
		sum = sum&0xffff + sum>>16
		binary.BigEndian.PutUint16(f[24:], ^uint16(sum))
	}
}

const (
	udpIn  = "public 198.51.100.7:1 -> 192.0.2.1:53 udp 18"
	udpOut = "private 10.0.0.11:5353 -> 198.51.100.7:1 udp 18"
	synIn  = "public 198.51.100.7:1 -> 192.0.2.1:80 tcp S"
)

// measure runs rounds of one belt until b.N packets have passed.
func (y *bench) measure(b *testing.B, from *belt, write func([]byte), step Time) {
	b.Helper()
	y.public.idle, y.private.idle = true, true
	from.idle, from.write = false, write
	before := y.worker.Counters
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	spent := cpuTime()
	b.ResetTimer()
	for n := 0; n < b.N; n += BatchSize {
		y.now += step
		y.worker.Round(y.now)
	}
	b.StopTimer()
	c := &y.worker.Counters
	packets := float64(c.Received - before.Received)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/packets, "ns/packet")
	b.ReportMetric(float64(cpuTime()-spent)/packets, "cpu-ns/packet") // what a busy machine does not change
	b.ReportMetric(preparing(write), "ns/preparing")
	if c.Received-before.Received != c.Forwarded-before.Forwarded || c.DroppedTotal() != 0 {
		b.Fatalf("not all was forwarded: %+v", *c)
	}
}

// cpuTime returns what the thread has used.
func cpuTime() int64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// preparing returns what the belt itself takes of each packet's time.
func preparing(write func([]byte)) float64 {
	frame := make([]byte, beltFrame)
	const n = 1 << 16
	start := time.Now()
	for range n {
		write(frame)
	}
	return float64(time.Since(start).Nanoseconds()) / n
}

// fill opens n connections.
func (y *bench) open(b *testing.B, n int) {
	b.Helper()
	y.public.idle, y.public.write = false, clients(udpIn, n, 26, 34)
	for y.worker.Table().Len() < n {
		before := y.worker.Table().Len()
		for range n/BatchSize + 2 {
			y.worker.Round(y.now)
		}
		y.resolveAll()
		if y.worker.Table().Len() == before {
			b.Fatalf("stuck at %d connections: %+v", before, y.worker.Counters)
		}
	}
	y.public.idle = true
	y.worker.Round(y.now)
	y.worker.Counters = Counters{}
}

func (y *bench) resolveAll() {
	y.hops.Each(func(l LinkID, addr packet.Addr, state HopState, _ uint32) {
		y.hops.Set(l, addr, HopUsable, macOf(addr.Netip()))
	})
}

// BenchmarkProcess forwards established UDP in frames of 64 bytes, 64 at a
// time: what a packet costs from one ring to the other.
func BenchmarkProcess(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { newBench(b, n).bothWays(b, n) })
	}
}

// BenchmarkProcessSmallPages is the same with a table in pages of 4 KB, which
// is what the director's array maps consist of.
func BenchmarkProcessSmallPages(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { newBenchIn(b, n, smallPages(b, conntrack.Bytes(n))).bothWays(b, n) })
	}
}

func smallPages(b *testing.B, size int) []byte {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Munmap(mem) })
	if err := unix.Madvise(mem, unix.MADV_NOHUGEPAGE); err != nil {
		b.Fatal(err)
	}
	return mem
}

func (y *bench) bothWays(b *testing.B, n int) {
	y.open(b, n)
	b.Run("in", func(b *testing.B) { y.measure(b, y.public, clients(udpIn, n, 26, 34), 10_000) })
	y.answer()
	b.Run("out", func(b *testing.B) { y.measure(b, y.private, clients(udpOut, n, 30, 36), 10_000) })
}

// answer lets one batch go to clients, so that their hop is known.
func (y *bench) answer() {
	y.public.idle = true
	y.private.idle, y.private.write = false, clients(udpOut, 64, 30, 36)
	y.worker.Round(y.now)
	y.private.idle = true
	y.resolveAll()
	y.worker.Round(y.now)
	y.worker.Counters = Counters{}
}

// BenchmarkNewConnection has every packet open one. The table holds a million;
// time goes on so that as many end as begin.
func BenchmarkNewConnection(b *testing.B) {
	for name, c := range map[string]struct {
		line string
		life Time
	}{"udp": {udpIn, 300 * Second}, "syn": {synIn, 60 * Second}} {
		b.Run(name, func(b *testing.B) {
			y := newBench(b, 1_000_000)
			y.open(b, 64)
			y.measure(b, y.public, clients(c.line, 1<<28, 26, 34), c.life/(800_000/BatchSize))
		})
	}
}
