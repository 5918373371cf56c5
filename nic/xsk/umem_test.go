package xsk

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheUMEMIsSharedThroughItsFD(t *testing.T) {
	u, err := NewPool(4, 2048, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	again, err := NewPool(4, 2048, dup(t, u.FD())[0])
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	u.Pool.Bytes[5000] = 42
	if again.Pool.Bytes[5000] != 42 {
		t.Error("two mappings differ")
	}
	if err := unix.Ftruncate(u.FD(), 0); err == nil {
		t.Error("the memory could be taken away")
	}
}

func TestImpossibleSizesAreRefused(t *testing.T) {
	for _, c := range []struct {
		chunks int
		chunk  uint32
	}{{0, 2048}, {-1, 2048}, {4, 1024}, {4, 3000}, {4, 8192}} {
		if _, err := NewPool(c.chunks, c.chunk, -1); !errors.Is(err, ErrSize) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	u, err := NewPool(4, 2048, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := NewPool(8, 2048, u.FD()); !errors.Is(err, ErrSize) {
		t.Errorf("more chunks than given: %v", err)
	}
	if _, err := Open(u, Config{TxSize: 100}); !errors.Is(err, ErrSize) {
		t.Errorf("ring of 100: %v", err)
	}
}

// A process without CAP_IPC_LOCK must learn why it gets no socket.
func TestTooMuchLockedMemoryIsAnErrorThatSaysSo(t *testing.T) {
	inLab(t, func() {
		var limit unix.Rlimit
		must(t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit))
		if limit.Max > 1<<30 {
			t.Skip("the hard limit of locked memory is too high to exceed")
		}
		p := newPair(t, "a")
		dropCapabilities(t, unix.CAP_IPC_LOCK, unix.CAP_SYS_RESOURCE)
		u, err := NewPool(int(limit.Max/4096)+1, 4096, -1)
		must(t, err)
		defer u.Close()
		if _, err := Open(u, smallRings(p)); !errors.Is(err, ErrLocked) {
			t.Errorf("got %v, want ErrLocked", err)
		}
	})
}

// Where a process may not raise its limits, what it has must do.
func TestALimitIsRaisedAsFarAsItMay(t *testing.T) {
	inLab(t, func() {
		var limit unix.Rlimit
		must(t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit))
		if limit.Max < 1<<20 {
			t.Skip("the hard limit of locked memory is too low")
		}
		p := newPair(t, "a")
		must(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Max: limit.Max}))
		defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit)
		dropCapabilities(t, unix.CAP_IPC_LOCK, unix.CAP_SYS_RESOURCE)
		u, err := NewPool(64, 4096, -1)
		must(t, err)
		defer u.Close()
		s, err := Open(u, smallRings(p))
		must(t, err)
		must(t, s.Close())
	})
}

// dropCapabilities takes them from this thread, which ends with its test.
func dropCapabilities(t testing.TB, capabilities ...int) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	must(t, unix.Capget(&header, &sets[0]))
	for _, c := range capabilities {
		sets[c/32].Effective &^= 1 << (c % 32)
	}
	must(t, unix.Capset(&header, &sets[0]))
}
