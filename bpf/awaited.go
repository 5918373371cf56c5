package bpf

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	allPorts     = 1 << 16
	awaitedBytes = allPorts * 8 // an array map gives every value eight bytes at least
)

// Awaited returns counters by port, all 0: while one is more, TCP packets to
// an address of a service by that port are lvx's, and those from an address of
// a real server if they go to no address of the director. Writing is enough,
// and may be done by any goroutine. The counters stay Steering's until Close.
func (s *Steering) Awaited() ([]atomic.Uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.awaited == nil {
		mem, err := unix.Mmap(s.objects.Awaited.FD(), 0, awaitedBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("map awaited ports: %w", err)
		}
		s.awaited = mem
	}
	clear(s.awaited)
	return unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(&s.awaited[0])), allPorts), nil
}
