package bpf

import (
	"bytes"
	"errors"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// listen gives n0 an address and returns a socket that waits there.
func listen(t *testing.T, nic string, prefix string) net.PacketConn {
	t.Helper()
	l, err := netlink.LinkByName(nic)
	must(t, err)
	p := netip.MustParsePrefix(prefix)
	addr, err := netlink.ParseAddr(prefix)
	must(t, err)
	addr.Flags = 2 // IFA_F_NODAD
	must(t, netlink.AddrAdd(l, addr))
	c, err := net.ListenPacket("udp", netip.AddrPortFrom(p.Addr(), 5555).String())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func wantDatagram(t *testing.T, c net.PacketConn, want []byte) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	got := make([]byte, 4096)
	n, _, err := c.ReadFrom(got)
	must(t, err)
	if !bytes.Equal(got[:n], want) {
		t.Errorf("received %q, want %q", got[:n], want)
	}
}

// addVLAN makes a VLAN device on a NIC.
func addVLAN(t *testing.T, nic, name string, id int) {
	t.Helper()
	l, err := netlink.LinkByName(nic)
	must(t, err)
	err = netlink.LinkAdd(&netlink.Vlan{
		LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: l.Attrs().Index}, VlanId: id,
	})
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("needs VLAN devices: this kernel has none")
	}
	must(t, err)
	up(t, name)
}

func macOf(t *testing.T, nic string) MAC {
	t.Helper()
	l, err := netlink.LinkByName(nic)
	must(t, err)
	return MAC(l.Attrs().HardwareAddr)
}

func openWayBack(t *testing.T, generic bool) *WayBack {
	t.Helper()
	w, err := NewWayBack()
	if generic {
		must(t, w.Close())
		w, err = NewWayBackVeth("lvx0", "lvx1")
	}
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	return w
}

// takeEverything makes steering take the frames of the test, and lose them.
func takeEverything(t *testing.T, ifindex int, mac MAC, generic bool) *Steering {
	t.Helper()
	s, err := Load(Config{})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	must(t, s.AddNIC(ifindex, mac))
	for _, a := range []string{"10.9.0.1", "fd09::1"} {
		must(t, s.AddService(Link{Ifindex: ifindex}, 17, netip.MustParseAddr(a), 0))
	}
	must(t, s.Attach(ifindex, generic))
	return s
}

func TestFramesReachTheLocalStackByTheWayBack(t *testing.T) {
	for _, generic := range []bool{false, true} {
		t.Run(map[bool]string{false: "native", true: "generic"}[generic], func(t *testing.T) {
			inNetns(t)
			must(t, sysctl("ipv4/conf/all/rp_filter", "1"))
			nic := addVeth(t, "n0", "p0", 1)
			mac := macOf(t, "n0")
			v4, v6 := listen(t, "n0", "10.9.0.1/24"), listen(t, "n0", "fd09::1/64")
			s := takeEverything(t, nic, mac, generic)
			w := openWayBack(t, generic)
			for _, n := range []int{5, 1400, 3000} {
				body := bytes.Repeat([]byte("x"), n)
				must(t, w.Inject(nic, frame{dst: mac}.udp("10.9.0.2", "10.9.0.1", 777, 5555, body)))
				wantDatagram(t, v4, body)
				must(t, w.Inject(nic, frame{dst: mac}.udp("fd09::2", "fd09::1", 777, 5555, body)))
				wantDatagram(t, v6, body)
			}
			c, err := s.Counters()
			must(t, err)
			if c != (Counters{}) {
				t.Errorf("an injected frame met steering: %+v", c)
			}
		})
	}
}

// The kernel finds the VLAN device by the tag, or by the address alone.
func TestTaggedFramesReachTheLocalStackByTheWayBack(t *testing.T) {
	for _, generic := range []bool{false, true} {
		t.Run(map[bool]string{false: "native", true: "generic"}[generic], func(t *testing.T) {
			inNetns(t)
			nic := addVeth(t, "n0", "p0", 1)
			mac := macOf(t, "n0")
			addVLAN(t, "n0", "n0.7", 7)
			tagged := listen(t, "n0.7", "10.7.0.1/24")
			w := openWayBack(t, generic)
			must(t, w.Inject(nic, frame{dst: mac, tags: []uint16{7}}.udp("10.7.0.2", "10.7.0.1", 777, 5555, []byte("x"))))
			wantDatagram(t, tagged, []byte("x"))
		})
	}
}

func TestTheVethTakesTagsOffAndIsTheDestination(t *testing.T) {
	v := veth{mac: MAC{2, 0, 0, 0, 0, 7}}
	for _, tags := range [][]uint16{nil, {7}, {7, 8}} {
		got := v.readdress(frame{dst: MAC{2, 0, 0, 0, 0, 1}, tags: tags}.udp("10.7.0.2", "10.7.0.1", 777, 5555, make([]byte, 64)))
		want := frame{dst: v.mac}.udp("10.7.0.2", "10.7.0.1", 777, 5555, make([]byte, 64))
		if !bytes.Equal(got, want) {
			t.Errorf("%d tags: got %x, want %x", len(tags), got, want)
		}
	}
	for n := range 22 {
		tagged := frame{tags: []uint16{7, 8}}.udp("10.7.0.2", "10.7.0.1", 777, 5555, nil)
		if got := v.readdress(tagged[:n]); len(got) > n {
			t.Errorf("a frame cut to %d bytes grew to %d", n, len(got))
		}
	}
}

func TestFramesOfImpossibleLengthAreRefused(t *testing.T) {
	needRoot(t)
	w, err := NewWayBack()
	must(t, err)
	defer w.Close()
	for _, n := range []int{0, 13, os.Getpagesize()} {
		if err := w.Inject(1, make([]byte, n)); !errors.Is(err, ErrFrame) {
			t.Errorf("%d bytes: %v, want %v", n, err, ErrFrame)
		}
	}
	if err := w.Inject(1, make([]byte, os.Getpagesize()-100)); !errors.Is(err, ErrFrame) {
		t.Errorf("more than the kernel has room for: %v, want %v", err, ErrFrame)
	}
	must(t, w.Inject(1, make([]byte, 3000)))
}

func TestAVethLeftByACrashIsUsedAgain(t *testing.T) {
	inNetns(t)
	_, err := NewWayBackVeth("lvx0", "lvx1")
	must(t, err)
	w, err := NewWayBackVeth("lvx0", "lvx1")
	must(t, err)
	must(t, w.Close())
	if _, err := netlink.LinkByName("lvx1"); err == nil {
		t.Error("the pair is still there after Close")
	}
}

func TestANICOfAnotherOwnerIsNotTakenForTheWayBack(t *testing.T) {
	inNetns(t)
	addVeth(t, "lvx0", "lvx1", 1)
	if _, err := NewWayBackVeth("lvx0", "lvx1"); !errors.Is(err, ErrName) {
		t.Errorf("%v, want %v", err, ErrName)
	}
}
