// Package demo tests `lvx demo`.
package demo

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// run runs `lvx demo` with nothing else in its path and returns what it
// printed and its process id.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*rig.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, rig.Executable(t), append([]string{"demo"}, args...)...)
	cmd.Env = []string{"PATH=/nothing"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("lvx demo %v: %v: %s", args, err, out)
	}
	return string(out), cmd.Process.Pid
}

// left lists what there is of the labs of a process.
func left(pid int) []string {
	spaces, _ := filepath.Glob("/run/netns/lvx-" + strconv.Itoa(pid) + "-*")
	dirs, _ := filepath.Glob("/run/lvx-" + strconv.Itoa(pid) + "*")
	return append(spaces, dirs...)
}

func TestTheDemonstrationShowsTheDirectorAndCleansUp(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		args    []string
		answers []string
	}{
		{nil, []string{"server2 to 172.25.8.10", "server1 to 172.25.8.10", "TCP  172.25.8.110:80 rr"}},
		{[]string{"--one-net"}, []string{"server3 to 192.168.1.254", "server2 to 192.168.1.254", "TCP  192.168.1.110:80 rr"}},
	} {
		out, pid := run(t, c.args...)
		for _, want := range append(c.answers, "AF_XDP", "frames: received ", " dropped 0 ") {
			if !strings.Contains(out, want) {
				t.Errorf("lvx demo %v: no %q in\n%s", c.args, want, out)
			}
		}
		if list := left(pid); list != nil {
			t.Errorf("lvx demo %v leaves %v", c.args, list)
		}
	}
}

func TestAKeptDemonstrationRunsUntilItIsInterrupted(t *testing.T) {
	needRoot(t)
	cmd, out := keep(t)
	if !strings.Contains(out.String(), "ip netns exec lvx-") {
		t.Errorf("it suggests nothing to try:\n%s", out)
	}
	cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v: %s", err, out)
	}
	if list := left(cmd.Process.Pid); list != nil {
		t.Errorf("it leaves %v", list)
	}
}

func TestTheNextDemonstrationRemovesAKilledOne(t *testing.T) {
	needRoot(t)
	cmd, _ := keep(t)
	cmd.Process.Kill()
	there := left(cmd.Process.Pid) // nobody sweeps who is not waited for
	cmd.Wait()
	if there == nil {
		t.Fatal("a killed demonstration leaves nothing, so this test shows nothing")
	}
	run(t)
	if list := left(cmd.Process.Pid); list != nil {
		t.Errorf("the next one leaves %v", list)
	}
}

// keep starts `lvx demo --keep` and waits until it says that it is running.
func keep(t *testing.T) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(rig.Executable(t), "demo", "--keep")
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); r.Close() })
	var out bytes.Buffer
	r.SetReadDeadline(time.Now().Add(4 * rig.Patience))
	for buf := make([]byte, 4096); !strings.Contains(out.String(), "Ctrl-C"); {
		n, err := r.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			t.Fatalf("lvx demo --keep: %v: %s", err, &out)
		}
	}
	return cmd, &out
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces and AF_XDP need root")
	}
}
