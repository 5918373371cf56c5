package conntrack

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/packet"
)

// LVX_BENCH_CONNS adds a size to the benchmarks, such as 10000000.
func benchSizes(b *testing.B) []int {
	sizes := []int{1000, 1_000_000}
	if s := os.Getenv("LVX_BENCH_CONNS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		sizes = append(sizes, n)
	}
	return sizes
}

// backings are what a table can lie in: memory of its own, and what the
// director uses, an array map that an XDP program can read.
var backings = []struct {
	name string
	make func(*testing.B, int) []byte
}{
	{"anonymous", func(*testing.B, int) []byte { return nil }},
	{"arraymap", arrayMap},
}

func arrayMap(b *testing.B, size int) []byte {
	if os.Geteuid() != 0 {
		b.Skip("needs root: an array map is made through bpf(2)")
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: recordSize,
		MaxEntries: uint32(size / recordSize), Flags: unix.BPF_F_MMAPABLE})
	if err != nil {
		b.Skip("no array map: ", err)
	}
	b.Cleanup(func() { m.Close() })
	mem, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { unix.Munmap(mem) })
	return mem
}

func benchClient(i int) packet.Endpoint {
	return packet.Endpoint{Addr: packet.AddrFrom4(0x0b000000 + uint32(i>>4)), Port: uint16(1024 + i&15)}
}

var (
	benchVirtual = packet.Endpoint{Addr: pairs[0].Virtual, Port: 80}
	benchReal    = packet.Endpoint{Addr: pairs[0].Real, Port: 8080}
)

// benchTable is full: as many connections as its capacity.
func benchTable(b *testing.B, mem []byte, capacity int) *Table {
	table, err := New(Config{Capacity: capacity, Memory: mem, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	table.Pairs = pairs
	b.Cleanup(func() { table.Close() })
	for i := range capacity {
		if _, room := table.open(0, tcp, benchClient(i), 0, 80, 8080, Established); room != OK {
			b.Fatal(room)
		}
	}
	return table
}

func eachTable(b *testing.B, f func(*testing.B, *Table)) {
	for _, n := range benchSizes(b) {
		for _, backing := range backings {
			b.Run(fmt.Sprintf("conns=%d/%s", n, backing.name), func(b *testing.B) {
				f(b, benchTable(b, backing.make(b, Bytes(n)), n))
			})
		}
	}
}

// A batch of 64 random connections of a full table: hash and touch all, then
// find and refresh each, as Process does. One operation is one packet.
func BenchmarkFindAndPacket(b *testing.B) {
	eachTable(b, func(b *testing.B, t *Table) {
		clients := make([]packet.Endpoint, 1<<20)
		for i := range clients {
			clients[i] = benchClient(rand.IntN(t.Capacity()))
		}
		var hashes [64]uint64
		b.ResetTimer()
		for n := 0; n < b.N; n += 64 {
			batch := clients[n%len(clients):][:64]
			for k := range batch {
				hashes[k] = t.Hash(tcp, batch[k])
			}
			t.Prefetch(hashes[:])
			for k := range batch {
				i := t.Find(hashes[k], tcp, batch[k], benchReal, ToClient)
				if i == None {
					b.Fatal("lost")
				}
				t.Packet(i, Tick(n>>20), ToClient, EventACK)
			}
		}
	})
}

// The same without the touch: what the loads cost one after another.
func BenchmarkFindWithoutPrefetch(b *testing.B) {
	eachTable(b, func(b *testing.B, t *Table) {
		clients := make([]packet.Endpoint, 1<<20)
		for i := range clients {
			clients[i] = benchClient(rand.IntN(t.Capacity()))
		}
		b.ResetTimer()
		for n := range b.N {
			c := clients[n%len(clients)]
			t.Packet(t.Find(t.Hash(tcp, c), tcp, c, benchVirtual, ToServer), Tick(n>>20), ToServer, EventACK)
		}
	})
}

// A full table where each new connection takes the place of one that is
// removed: the steady state of a busy director.
func BenchmarkRemoveAndInsert(b *testing.B) {
	eachTable(b, func(b *testing.B, t *Table) {
		n := t.Capacity()
		b.ResetTimer()
		for k := range b.N {
			old := benchClient(k % n)
			t.Remove(t.find(tcp, old, benchVirtual, ToServer))
			if _, room := t.open(Tick(k>>16), tcp, old, 0, 80, 8080, Established); room != OK {
				b.Fatal(room)
			}
			t.ClearGone()
		}
	})
}

// Filling an empty table to its capacity, 64 new connections a batch.
func BenchmarkInsert(b *testing.B) {
	for _, capacity := range benchSizes(b) {
		for _, backing := range backings {
			b.Run(fmt.Sprintf("conns=%d/%s", capacity, backing.name), func(b *testing.B) {
				mem := backing.make(b, Bytes(capacity))
				if mem == nil {
					mem, _ = anonymous(Bytes(capacity))
					defer unix.Munmap(mem)
				}
				benchInsert(b, mem, capacity)
			})
		}
	}
}

func benchInsert(b *testing.B, mem []byte, capacity int) {
	var t *Table
	var hashes [64]uint64
	b.ResetTimer()
	for n := 0; n < b.N; n += 64 {
		from := n % (capacity / 64 * 64)
		if from == 0 {
			b.StopTimer()
			t, _ = New(Config{Capacity: capacity, Memory: mem, Seed: 1})
			t.Pairs = pairs
			b.StartTimer()
		}
		for k := range hashes {
			hashes[k] = t.Hash(tcp, benchClient(from+k))
		}
		t.Prefetch(hashes[:])
		for k, hash := range hashes {
			if _, room := t.Insert(Tick(n>>17), hash, tcp, benchClient(from+k), 0, 80, 8080, Established); room != OK {
				b.Fatal(room)
			}
		}
	}
}

// A flood of first segments: the table is full of half-open connections and
// each new one ends the oldest.
func BenchmarkInsertWhenFull(b *testing.B) {
	eachTable(b, func(b *testing.B, t *Table) {
		n := t.Capacity()
		t.Walk(0, len(t.slots), func(i Index, _ *Record) { t.Remove(i) })
		for k := range n {
			t.open(Tick(k*100/n), tcp, benchClient(k), 0, 80, 8080, SynRecv)
		}
		t.ClearGone()
		b.ResetTimer()
		for k := range b.N {
			if _, room := t.open(Tick(100+k*100/n), tcp, benchClient(n+k), 0, 80, 8080, SynRecv); room != OK {
				b.Fatal(room)
			}
			if k%64 == 0 {
				t.Expire(Tick(100+k*100/n), 64)
				t.ClearGone()
			}
		}
	})
}

// One operation is one connection that ends at its deadline.
func BenchmarkExpire(b *testing.B) {
	for _, backing := range backings {
		const capacity = 1_000_000
		b.Run(fmt.Sprintf("conns=%d/%s", capacity, backing.name), func(b *testing.B) {
			t := benchTable(b, backing.make(b, Bytes(capacity)), capacity)
			now := Tick(0)
			b.ResetTimer()
			for n := 0; n < b.N; {
				n += t.Expire(now, 256)
				t.ClearGone()
				if now += 1; t.Len() == 0 {
					b.StopTimer()
					for i := range capacity {
						t.open(now+Tick(i>>10), tcp, benchClient(i), 0, 80, 8080, Established)
					}
					b.StartTimer()
				}
			}
		})
	}
}
