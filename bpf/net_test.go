package bpf

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: loads eBPF programs")
	}
}

var spaces atomic.Int32

// inNetns moves the test to a network namespace of its own until it ends.
func inNetns(t testing.TB) {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread()
	home, err := netns.Get()
	must(t, err)
	name := fmt.Sprintf("lvxbpf%d-%d", os.Getpid(), spaces.Add(1))
	space, err := netns.NewNamed(name)
	must(t, err)
	t.Cleanup(func() {
		must(t, netns.Set(home))
		must(t, space.Close())
		must(t, home.Close())
		must(t, netns.DeleteNamed(name))
		runtime.UnlockOSThread()
	})
	up(t, "lo")
}

// addVeth makes a veth pair that is up and returns the index of name.
func addVeth(t testing.TB, name, peer string, queues int) int {
	t.Helper()
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, NumTxQueues: queues, NumRxQueues: queues},
		PeerName:  peer, PeerNumTxQueues: uint32(queues), PeerNumRxQueues: uint32(queues),
	}))
	up(t, peer)
	up(t, name)
	awaitLink(t, peer)
	return awaitLink(t, name)
}

// awaitLink waits until the kernel has noticed a NIC's carrier: before, it loses
// without a word what is sent there.
func awaitLink(t testing.TB, name string) int {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		l, err := netlink.LinkByName(name)
		must(t, err)
		if l.Attrs().OperState == netlink.OperUp {
			return l.Attrs().Index
		}
		if time.Now().After(end) {
			t.Fatalf("%s is %v", name, l.Attrs().OperState)
		}
	}
}

func up(t testing.TB, name string) int {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	must(t, netlink.LinkSetUp(l))
	return l.Attrs().Index
}

// newSocket is an AF_XDP socket that need not be bound to stand in a map.
func newSocket(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%+v", err)
	}
}
