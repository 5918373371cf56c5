package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const recordBytes = 64

// table is memory that Go writes and an XDP program could read.
type table struct {
	array *ebpf.Map
	mem   []byte
}

func (t *table) close() error {
	return errors.Join(unix.Munmap(t.mem), t.array.Close())
}

// NewTable makes zeroed memory of at least the given size as an array map of
// 64-byte records, and returns it mapped together with its file descriptor.
// Both stay Steering's until Close, when the memory goes away.
func (s *Steering) NewTable(name string, bytes int) (mem []byte, fd int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[name] != nil {
		return nil, -1, fmt.Errorf("make table %s: %w: name is taken", name, ErrKey)
	}
	records := (bytes + recordBytes - 1) / recordBytes
	if records <= 0 || records > 1<<31 {
		return nil, -1, fmt.Errorf("make table %s: %w: %d bytes", name, ErrKey, bytes)
	}
	array, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: recordBytes,
		MaxEntries: uint32(records), Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return nil, -1, fmt.Errorf("make table %s: %w", name, err)
	}
	mem, err = unix.Mmap(array.FD(), 0, records*recordBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, -1, errors.Join(fmt.Errorf("map table %s: %w", name, err), array.Close())
	}
	s.tables[name] = &table{array, mem}
	return mem, array.FD(), nil
}
