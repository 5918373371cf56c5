package nic

// fifo is a bounded first-in first-out ring, the shape of every ring of a
// queue. It never grows.
type fifo[T any] struct {
	slots       []T
	first, next uint32
	mask        uint32
}

func newFifo[T any](size int) fifo[T] {
	n := 1
	for n < size {
		n <<= 1
	}
	return fifo[T]{slots: make([]T, n), mask: uint32(n - 1)}
}

func (f *fifo[T]) len() int  { return int(f.next - f.first) }
func (f *fifo[T]) room() int { return len(f.slots) - f.len() }

func (f *fifo[T]) push(x T) bool {
	if f.room() == 0 {
		return false
	}
	f.slots[f.next&f.mask] = x
	f.next++
	return true
}

func (f *fifo[T]) pop() (x T, ok bool) {
	if f.len() == 0 {
		return x, false
	}
	x = f.slots[f.first&f.mask]
	f.first++
	return x, true
}

// put pushes as many of xs as there is room for.
func (f *fifo[T]) put(xs []T) int {
	n := min(len(xs), f.room())
	for _, x := range xs[:n] {
		f.slots[f.next&f.mask] = x
		f.next++
	}
	return n
}

// take pops into xs as many as there are.
func (f *fifo[T]) take(xs []T) int {
	n := min(len(xs), f.len())
	for i := range xs[:n] {
		xs[i] = f.slots[f.first&f.mask]
		f.first++
	}
	return n
}
