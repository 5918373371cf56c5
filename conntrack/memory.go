package conntrack

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	recordSize = 64
	minSlots   = 2048    // more than the longest probe distance, 63·64/2
	maxSlots   = 1 << 31 // an Index, and None beside it
)

// What New refuses.
var (
	ErrCapacity = errors.New("capacity out of range")
	ErrMemory   = errors.New("memory too small or not aligned")
)

// slotsFor returns the slots for capacity connections: the table is never
// more than three quarters full.
func slotsFor(capacity int) int { return max(minSlots, (capacity*4+2)/3) }

// Bytes returns the size of the memory that a table of this capacity needs.
func Bytes(capacity int) int { return slotsFor(capacity) * recordSize }

// anonymous maps memory that the garbage collector does not know.
func anonymous(size int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes for connections: %w", size, err)
	}
	// A wish: without huge pages lookups only miss the TLB more often.
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
	return mem, nil
}

// recordsIn views the start of mem as n records.
func recordsIn(mem []byte, n int) ([]Record, error) {
	if len(mem) < n*recordSize || uintptr(unsafe.Pointer(&mem[0]))%8 != 0 {
		return nil, ErrMemory
	}
	return unsafe.Slice((*Record)(unsafe.Pointer(&mem[0])), n), nil
}
