package lvx

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/bpf"
)

// ErrIPVS tells that the kernel's own IPVS has rules: it would answer for the
// same addresses.
var ErrIPVS = errors.New("kernel IPVS has rules; run: ipvsadm -C && rmmod ip_vs")

// checkIPVS refuses to run beside kernel IPVS. The module alone does no harm.
func checkIPVS() error {
	f, err := os.Open("/proc/thread-self/net/ip_vs")
	if err != nil {
		return nil
	}
	defer f.Close()
	if hasRules(f) {
		return fmt.Errorf("look for kernel IPVS: %w", ErrIPVS)
	}
	return nil
}

// hasRules reports whether a list of the kernel's IPVS names a service.
func hasRules(list io.Reader) bool {
	for lines := bufio.NewScanner(list); lines.Scan(); {
		if word, _, _ := strings.Cut(lines.Text(), " "); word == "TCP" || word == "UDP" || word == "SCTP" || word == "FWM" {
			return true
		}
	}
	return false
}

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
