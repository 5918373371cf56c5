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
	const rights = "lvx needs root, or CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON and CAP_IPC_LOCK, outside of user namespaces"
	switch {
	case errors.Is(err, unix.EPERM): // what else it says is guessed
		return fmt.Errorf("%s: %w", rights, unix.EPERM)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%s: %w", rights, err)
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("lvx needs more open files; raise ulimit -n: %w", unix.EMFILE)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("this kernel has no BPF (CONFIG_BPF_SYSCALL, Linux 5.18 or newer): %w", err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("this kernel has no AF_XDP (CONFIG_XDP_SOCKETS, Linux 5.18 or newer): %w", err)
	}
	return err
}

// explainNIC names the NIC of an error, and the remedy where there is one.
func explainNIC(n nicFacts, err error) error {
	switch {
	case n.driver == "veth" && errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%s: %w; a veth needs as many receive queues as its other end has transmit queues (ethtool -l)", n.name, err)
	case !errors.Is(err, bpf.ErrForeign):
		return fmt.Errorf("%s: %w", n.name, err)
	}
	if p, _ := bpf.Attached(n.ifindex); p.Name == bpf.ProgramName {
		return fmt.Errorf("%s: %w; another lvx has this NIC, and a second one needs NICs of its own", n.name, err)
	}
	return fmt.Errorf("%s: %w; stop its owner (bpftool net shows it)", n.name, err)
}
