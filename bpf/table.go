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
	mem   []byte // nil = inherited, and not asked for yet
}

func (t *table) close() error {
	var err error
	if t.mem != nil {
		err = unix.Munmap(t.mem)
	}
	return errors.Join(err, t.array.Close())
}

// NewTable makes zeroed memory of at least the given size as an array map of
// 64-byte records, and returns it mapped together with its file descriptor.
// Both stay Steering's until Close, when the memory goes away. A table of that
// name and size that was taken over is returned as it is.
func (s *Steering) NewTable(name string, bytes int) (mem []byte, fd int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := (bytes + recordBytes - 1) / recordBytes
	if records <= 0 || records > 1<<31 {
		return nil, -1, fmt.Errorf("make table %s: %w: %d bytes", name, ErrKey, bytes)
	}
	t := s.tables[name]
	switch {
	case t == nil:
		if t, err = newTable(name, records); err != nil {
			return nil, -1, fmt.Errorf("make table %s: %w", name, err)
		}
	case t.mem != nil:
		return nil, -1, fmt.Errorf("make table %s: %w: name is taken", name, ErrKey)
	case int(t.array.MaxEntries()) != records || t.array.ValueSize() != recordBytes:
		return nil, -1, fmt.Errorf("make table %s: %w: %v", name, ErrFDs, t.array)
	}
	t.mem, err = unix.Mmap(t.array.FD(), 0, records*recordBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		delete(s.tables, name)
		return nil, -1, errors.Join(fmt.Errorf("map table %s: %w", name, err), t.close())
	}
	s.tables[name] = t
	return t.mem, t.array.FD(), nil
}

func newTable(name string, records int) (*table, error) {
	array, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: recordBytes,
		MaxEntries: uint32(records), Flags: unix.BPF_F_MMAPABLE,
	})
	return &table{array: array}, err
}
