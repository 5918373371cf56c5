package bpf

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestMain fails when tests leave eBPF objects behind.
func TestMain(m *testing.M) {
	code := m.Run()
	runtime.GC()
	if left := openObjects(); len(left) > 0 && code == 0 {
		fmt.Println("left open:", left)
		code = 1
	}
	os.Exit(code)
}

func openObjects() (open []string) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	for _, fd := range fds {
		to, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err == nil && strings.Contains(to, "bpf") {
			open = append(open, to)
		}
	}
	return open
}
