package lvx

import (
	"errors"
	"fmt"

	"github.com/lvx-lb/lvx/bpf"
	"golang.org/x/sys/unix"
)

// explainKernel says in words what a kernel's refusal usually means.
func explainKernel(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("lvx needs root, or CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF: %w", err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("this kernel has no AF_XDP (CONFIG_XDP_SOCKETS, Linux 5.18 or newer): %w", err)
	}
	return err
}

// explainNIC names the NIC of an error, and the remedy where there is one.
func explainNIC(name string, err error) error {
	if errors.Is(err, bpf.ErrForeign) {
		return fmt.Errorf("%s: %w; stop its owner (bpftool net shows it)", name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}
