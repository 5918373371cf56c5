package lvx

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/bpf"
)

// The lists are as Linux 6.1 prints them.
func TestRulesOfKernelIPVSAreSeen(t *testing.T) {
	const head = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
	for rules, want := range map[string]bool{
		"":   false,
		head: false,
		head + "TCP  CB007164:0050 rr  \n  -> 0A01000B:1F90      Masq    1      0          0         \n": true,
		head + "UDP  CB007164:0035 wrr  \n":                                 true,
		head + "SCTP  CB007164:0050 rr  \n":                                 true,
		head + "FWM  00000005 rr  \n":                                       true,
		head + "TCP  [2001:0db8:0001:0000:0000:0000:0000:0100]:0050 rr  \n": true,
	} {
		if got := hasRules(strings.NewReader(rules)); got != want {
			t.Errorf("%v, want %v:\n%s", got, want, rules)
		}
	}
}

func TestRefusalsOfTheKernelNameTheRemedy(t *testing.T) {
	for err, want := range map[error]string{
		unix.EPERM:        "lvx needs root, or CAP_NET_ADMIN",
		unix.EACCES:       "lvx needs root, or CAP_NET_ADMIN",
		unix.EMFILE:       "lvx needs more open files",
		unix.ENOSYS:       "this kernel has no BPF",
		unix.EAFNOSUPPORT: "this kernel has no AF_XDP",
	} {
		if got := explainKernel(fmt.Errorf("create socket: %w", err)).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %q", err, got)
		}
	}
	if got := explainKernel(unix.ENOMEM); got != unix.ENOMEM {
		t.Errorf("what cannot be explained: %v", got)
	}
	if got := explainNIC(nicFacts{name: "eth0", driver: "veth"}, unix.ENOSPC).Error(); !strings.Contains(got, "its other end") {
		t.Errorf("a veth with too few queues: %q", got)
	}
	if got := explainNIC(nicFacts{name: "eth0"}, bpf.ErrForeign).Error(); !strings.HasPrefix(got, "eth0: ") || !strings.Contains(got, "bpftool net") {
		t.Errorf("a foreign program: %q", got)
	}
}
