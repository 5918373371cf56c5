package bpf

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func TestATableIsSeenByTheKernelAsRecords(t *testing.T) {
	needRoot(t)
	s, err := Load(Config{})
	must(t, err)
	defer s.Close()
	mem, fd, err := s.NewTable("conns0", 1000*64-1)
	must(t, err)
	if len(mem) != 1000*64 {
		t.Errorf("%d bytes, want %d", len(mem), 1000*64)
	}
	mem[999*64] = 42
	dup, err := unix.Dup(fd)
	must(t, err)
	m, err := ebpf.NewMapFromFD(dup)
	must(t, err)
	defer m.Close()
	var record [64]byte
	must(t, m.Lookup(uint32(999), &record))
	if record[0] != 42 {
		t.Errorf("record begins with %d, want 42", record[0])
	}
	for name, bytes := range map[string]int{"conns0": 64, "none": 0, "less": -1} {
		if _, _, err := s.NewTable(name, bytes); !errors.Is(err, ErrKey) {
			t.Errorf("table %s of %d bytes: %v, want %v", name, bytes, err, ErrKey)
		}
	}
}
