package xsk

import (
	"errors"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestModerationIsLaidOutAsTheKernelReadsIt(t *testing.T) {
	var c ethtoolCoalesce
	if size, at := unsafe.Sizeof(c), unsafe.Offsetof(c.transmitUsecs); size != 92 || at != 20 {
		t.Errorf("%d bytes, transmitUsecs at %d", size, at)
	}
}

// A real NIC's is changed in internal/vm.
func TestModerationOfANICThatHasNone(t *testing.T) {
	inLab(t, func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "q"}, PeerName: "qfar"}))
		if usecs, err := Moderation("q"); err != nil || usecs != 0 {
			t.Errorf("%d µs, %v", usecs, err)
		}
		if err := SetModeration("q", 10); !errors.Is(err, ErrModeration) {
			t.Errorf("got %v, want %v", err, ErrModeration)
		}
		if _, err := Moderation("nobody"); !errors.Is(err, unix.ENODEV) {
			t.Errorf("got %v, want %v", err, unix.ENODEV)
		}
	})
}
