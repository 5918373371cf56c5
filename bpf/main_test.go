package bpf

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long something is waited for before a test fails.
const patience = 30 * time.Second

// TestMain fails when tests leave eBPF objects behind.
func TestMain(m *testing.M) {
	code := m.Run()
	for end := time.Now().Add(patience); code == 0; time.Sleep(time.Millisecond) {
		runtime.GC()
		left := openObjects()
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
			fmt.Println("left open:", left)
			code = 1
		}
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
