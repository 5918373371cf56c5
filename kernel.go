package lvx

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
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
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if word, _, _ := strings.Cut(lines.Text(), " "); word == "TCP" || word == "UDP" || word == "SCTP" || word == "FWM" {
			return fmt.Errorf("look for kernel IPVS: %w", ErrIPVS)
		}
	}
	return nil
}
