package xsk

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// twoEnds lays a producer and a consumer over one memory, as the kernel and we
// do, with both indices starting at start.
func twoEnds(size, start uint32) (producer, consumer *ring[uint64]) {
	off := unix.XDPRingOffset{Producer: 0, Consumer: 64, Flags: 128, Desc: 192}
	memory := make([]byte, 192+size*8)
	producer, consumer = new(ring[uint64]), new(ring[uint64])
	producer.over(memory, off, size)
	consumer.over(memory, off, size)
	producer.producer.Store(start)
	producer.consumer.Store(start)
	producer.produce()
	consumer.consume()
	return producer, consumer
}

func TestARingIsAQueueOfBoundedLength(t *testing.T) {
	const size = 16
	// The indices run over their 32 bits on the way.
	producer, consumer := twoEnds(size, ^uint32(0)-200)
	random := rand.New(rand.NewPCG(1, 2))
	var twin []uint64
	var next uint64
	for range 10_000 {
		items := make([]uint64, random.IntN(2*size))
		for i := range items {
			next++
			items[i] = next
		}
		n := producer.put(items)
		if want := min(len(items), size-len(twin)); n != want {
			t.Fatalf("put %d of %d beside %d, want %d", n, len(items), len(twin), want)
		}
		twin = append(twin, items[:n]...)
		got := make([]uint64, random.IntN(2*size))
		n = consumer.take(got)
		if want := min(len(got), len(twin)); n != want || !slices.Equal(got[:n], twin[:n]) {
			t.Fatalf("took %v of %v", got[:n], twin)
		}
		twin = twin[n:]
		if producer.waiting() != len(twin) {
			t.Fatalf("%d waiting, want %d", producer.waiting(), len(twin))
		}
	}
}

func TestARingIsSharedByTwoGoroutines(t *testing.T) {
	producer, consumer := twoEnds(64, 0)
	const items = 100_000
	go func() {
		for next := uint64(0); next < items; {
			batch := make([]uint64, 0, 32)
			for i := range uint64(32) {
				batch = append(batch, next+i)
			}
			n := producer.put(batch)
			if next += uint64(n); n == 0 {
				runtime.Gosched()
			}
		}
	}()
	got := make([]uint64, 32)
	for next := uint64(0); next < items; {
		n := consumer.take(got)
		if n == 0 {
			runtime.Gosched()
		}
		for _, item := range got[:n] {
			if item != next {
				t.Fatalf("got %d, want %d", item, next)
			}
			next++
		}
	}
}

func BenchmarkRing(b *testing.B) {
	producer, consumer := twoEnds(2048, 0)
	batch := make([]uint64, 64)
	for range b.N {
		producer.put(batch)
		consumer.take(batch)
	}
}
