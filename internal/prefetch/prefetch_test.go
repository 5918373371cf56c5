package prefetch

import "testing"

// What is asked for is on its way at best: here only that any number is taken,
// up to the last byte, and nothing changes.
func TestAnyNumberOfLinesIsTaken(t *testing.T) {
	mem := make([]byte, 4096)
	for n := range 200 {
		at := make([]uint64, n)
		for i := range at {
			at[i] = uint64(len(mem) - 1 - i)
		}
		if allocs := testing.AllocsPerRun(1, func() { Lines(mem, at) }); allocs != 0 {
			t.Fatalf("%d lines: %v allocations", n, allocs)
		}
		for i, b := range mem {
			if b != 0 {
				t.Fatalf("%d lines: byte %d changed", n, i)
			}
		}
		for i, a := range at {
			if a != uint64(len(mem)-1-i) {
				t.Fatalf("%d lines: offset %d changed", n, i)
			}
		}
	}
}

// BenchmarkLines asks for lines that are there: what asking costs.
func BenchmarkLines(b *testing.B) {
	mem, at := make([]byte, 1<<16), make([]uint64, 64)
	for i := range at {
		at[i] = uint64(i * 1021)
	}
	for b.Loop() {
		Lines(mem, at)
	}
}
