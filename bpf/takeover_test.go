package bpf

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// copied is what another process gets of f.
func copied(t *testing.T, f FDs) FDs {
	t.Helper()
	dup := func(fd int) int {
		fd, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		must(t, err)
		return fd
	}
	c := FDs{dup(f.Program), map[string]int{}, map[string]int{}, map[int]int{}}
	for name, fd := range f.Maps {
		c.Maps[name] = dup(fd)
	}
	for name, fd := range f.Tables {
		c.Tables[name] = dup(fd)
	}
	for ifindex, fd := range f.Attached {
		c.Attached[ifindex] = dup(fd)
	}
	return c
}

func TestSteeringGoesOnInOtherHands(t *testing.T) {
	d := newStand(t)
	must(t, d.Attach(d.public, false))
	mem, _, err := d.NewTable("conns0", 640)
	must(t, err)
	mem[64] = 42
	before, err := Attached(d.public)
	must(t, err)
	fds := copied(t, d.FDs())
	must(t, d.Close())

	s, err := Load(Config{FrameBytes: 2000, FDs: fds})
	must(t, err)
	defer s.Close()
	d.Steering = s
	if after, err := Attached(d.public); err != nil || after != before {
		t.Errorf("attached %+v %v, want %+v", after, err, before)
	}
	syn := tcp("198.51.100.7:40000", "192.0.2.1:80")
	if got := d.run(t, d.public, 0, frame{dst: publicMAC}.ethernet(syn)); got != redirect {
		t.Errorf("verdict %d, want %d", got, redirect)
	}
	mem, _, err = s.NewTable("conns0", 640)
	must(t, err)
	if mem[64] != 42 {
		t.Error("the table lost its records")
	}
	must(t, s.SetMACs(d.public, []MAC{vrrpMAC}))
	if got := d.run(t, d.public, 0, frame{dst: publicMAC}.ethernet(syn)); got != pass {
		t.Errorf("a MAC address of before stays: verdict %d, want %d", got, pass)
	}
	must(t, s.Detach(d.public))
	if p, err := Attached(d.public); err != nil || p != (Program{}) {
		t.Errorf("attached after Detach: %+v %v", p, err)
	}
}

func TestDescriptorsOfOtherLimitsAreRefused(t *testing.T) {
	d := newStand(t)
	if _, err := Load(Config{NICs: 3, FDs: copied(t, d.FDs())}); !errors.Is(err, ErrFDs) {
		t.Errorf("%v, want %v", err, ErrFDs)
	}
	f := copied(t, d.FDs())
	unix.Close(f.Maps["own"])
	delete(f.Maps, "own")
	if _, err := Load(Config{FDs: f}); !errors.Is(err, ErrFDs) {
		t.Errorf("a map is missing: %v, want %v", err, ErrFDs)
	}
}
