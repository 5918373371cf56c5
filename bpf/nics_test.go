package bpf

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// stranger is somebody else's XDP program.
func stranger(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "stranger", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func TestAForeignProgramIsNamedAndNeverReplaced(t *testing.T) {
	byLink := func(ifindex int, p *ebpf.Program, flags link.XDPAttachFlags) (func() error, error) {
		l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: ifindex, Flags: flags})
		if err != nil {
			return nil, err
		}
		return l.Close, nil
	}
	byNetlink := func(ifindex int, p *ebpf.Program, flags link.XDPAttachFlags) (func() error, error) {
		l, err := netlink.LinkByIndex(ifindex)
		if err != nil {
			return nil, err
		}
		off := func() error { return netlink.LinkSetXdpFdWithFlags(l, -1, int(flags)) }
		return off, netlink.LinkSetXdpFdWithFlags(l, p.FD(), int(flags))
	}
	d := newStand(t)
	foreign := stranger(t)
	info, err := foreign.Info()
	must(t, err)
	id, _ := info.ID()
	for _, put := range []func(int, *ebpf.Program, link.XDPAttachFlags) (func() error, error){byLink, byNetlink} {
		for mode, flags := range map[Mode]link.XDPAttachFlags{Native: link.XDPDriverMode, Generic: link.XDPGenericMode} {
			off, err := put(d.public, foreign, flags)
			must(t, err)
			for _, generic := range []bool{false, true} {
				err := d.Attach(d.public, generic)
				if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), `"stranger"`) {
					t.Errorf("attach, generic %v, over %v: %v, want %v", generic, mode, err, ErrForeign)
				}
			}
			want := Program{Mode: mode, ID: uint32(id), Name: "stranger"}
			if got, err := Attached(d.public); err != nil || got != want {
				t.Errorf("attached: %+v %v, want %+v", got, err, want)
			}
			must(t, off())
		}
	}
	must(t, d.Attach(d.public, false))
}

func TestAttachAndDetach(t *testing.T) {
	d := newStand(t)
	for _, mode := range []Mode{Native, Generic} {
		generic := mode == Generic
		must(t, d.Attach(d.public, generic))
		must(t, d.Attach(d.public, generic))
		if err := d.Attach(d.public, !generic); !errors.Is(err, ErrAttached) {
			t.Errorf("attach in another mode: %v, want %v", err, ErrAttached)
		}
		if got, err := Attached(d.public); err != nil || got.Mode != mode || got.Name != "lvx_steer" {
			t.Errorf("attached: %+v %v, want %v lvx_steer", got, err, mode)
		}
		must(t, d.Detach(d.public))
		must(t, d.Detach(d.public))
		if got, err := Attached(d.public); err != nil || got != (Program{}) {
			t.Errorf("attached after Detach: %+v %v", got, err)
		}
	}
}

func TestCloseTakesTheProgramOff(t *testing.T) {
	inNetns(t)
	nic := addVeth(t, "n0", "p0", 1)
	s, err := Load(Config{})
	must(t, err)
	must(t, s.AddNIC(nic, publicMAC))
	must(t, s.Attach(nic, false))
	must(t, s.Close())
	if got, err := Attached(nic); err != nil || got != (Program{}) {
		t.Errorf("attached after Close: %+v %v", got, err)
	}
}

func TestANICThatVanishesCanBeRemoved(t *testing.T) {
	d := newStand(t)
	must(t, d.Attach(d.public, false))
	l, err := netlink.LinkByIndex(d.public)
	must(t, err)
	must(t, netlink.LinkDel(l))
	must(t, d.RemoveNIC(d.public))
}

func TestMACAddressesAreReplaced(t *testing.T) {
	d := newStand(t)
	syn := tcp("198.51.100.7:40000", "192.0.2.1:80")
	wants := func(when string, want map[MAC]int) {
		t.Helper()
		for mac, verdict := range want {
			if got := d.run(t, d.public, 0, frame{dst: mac}.ethernet(syn)); got != verdict {
				t.Errorf("%s: frame to %x: verdict %d, want %d", when, mac, got, verdict)
			}
		}
	}
	other := MAC{2, 0, 0, 0, 0, 3}
	must(t, d.SetMACs(d.public, []MAC{vrrpMAC, other}))
	wants("replaced", map[MAC]int{publicMAC: pass, vrrpMAC: redirect, other: redirect})
	if err := d.SetMACs(d.public, []MAC{publicMAC, {1, 0, 0, 0, 0, 1}}); !errors.Is(err, ErrKey) {
		t.Errorf("multicast address: %v, want %v", err, ErrKey)
	}
	wants("refused", map[MAC]int{publicMAC: pass, vrrpMAC: redirect, other: redirect})
	must(t, d.SetMACs(d.public, nil))
	wants("none", map[MAC]int{publicMAC: pass, vrrpMAC: pass, other: pass})
}

func TestARemovedNICLeavesRoomForAnother(t *testing.T) {
	inNetns(t)
	s, err := Load(Config{NICs: 1})
	must(t, err)
	defer s.Close()
	a, b := addVeth(t, "n0", "p0", 1), addVeth(t, "n1", "p1", 1)
	must(t, s.AddNIC(a, publicMAC))
	must(t, s.SetSocket(a, 0, newSocket(t)))
	if err := s.AddNIC(b, privateMAC); !errors.Is(err, ErrFull) {
		t.Errorf("second nic: %v, want %v", err, ErrFull)
	}
	must(t, s.RemoveNIC(a))
	must(t, s.RemoveNIC(a))
	must(t, s.AddNIC(b, privateMAC))
	must(t, s.AddService(Link{Ifindex: b}, 6, netip.MustParseAddr("192.0.2.1"), 80))
	d := &stand{s, a, b}
	syn := frame{dst: privateMAC}.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:80"))
	if got := d.run(t, b, 0, syn); got != drop {
		t.Errorf("a socket of the removed nic is still used: verdict %d", got)
	}
	must(t, s.SetSocket(b, 0, newSocket(t)))
	if got := d.run(t, b, 0, syn); got != redirect {
		t.Errorf("verdict %d, want %d", got, redirect)
	}
	must(t, s.SetSocket(b, 0, -1))
	must(t, s.SetSocket(b, 0, -1))
	if got := d.run(t, b, 0, syn); got != drop {
		t.Errorf("after the socket is gone: verdict %d, want %d", got, drop)
	}
}

// The part of sockets behind a NIC's last queue belongs to the next NIC.
func TestAQueueBeyondTheLimitHasNoSocket(t *testing.T) {
	inNetns(t)
	s, err := Load(Config{Queues: 2})
	must(t, err)
	defer s.Close()
	d := &stand{s, addVeth(t, "n0", "p0", 4), addVeth(t, "n1", "p1", 4)}
	must(t, s.AddNIC(d.public, publicMAC))
	must(t, s.AddNIC(d.private, privateMAC))
	must(t, s.AddService(Link{Ifindex: d.public}, 6, netip.MustParseAddr("192.0.2.1"), 80))
	must(t, s.SetSocket(d.private, 0, newSocket(t)))
	must(t, s.SetSocket(d.private, 1, newSocket(t)))
	must(t, s.SetSocket(d.public, 1, newSocket(t)))
	syn := frame{dst: publicMAC}.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:80"))
	for queue, want := range []int{drop, redirect, drop, drop} {
		if got := d.run(t, d.public, queue, syn); got != want {
			t.Errorf("queue %d: verdict %d, want %d", queue, got, want)
		}
	}
	if err := s.SetSocket(d.public, 2, newSocket(t)); !errors.Is(err, ErrKey) {
		t.Errorf("socket of queue 2: %v, want %v", err, ErrKey)
	}
	if err := s.SetSocket(77, 0, newSocket(t)); !errors.Is(err, ErrNIC) {
		t.Errorf("socket of an unknown nic: %v, want %v", err, ErrNIC)
	}
}
