// Command guest is the first process of a virtual machine, and its child: the
// first one buries orphans, the child mounts what Linux needs and carries out
// the commands that arrive on the second serial line, one JSON object a line
// each way. Called otherwise it sends datagrams back, or asks for that.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

type request struct {
	Command string
	Seconds int
}

type answer struct {
	Output string
	Code   int
}

func main() {
	work := map[string]func([]string) error{"echo": echo, "ask": ask}
	if len(os.Args) > 1 && work[os.Args[1]] != nil {
		if err := work[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "guest:", err)
			os.Exit(1)
		}
		return
	}
	first := bury
	if os.Getpid() != 1 {
		first = serve
	}
	if err := first(); err != nil {
		fmt.Println("guest:", err)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// bury starts the child and waits for all that ends, until the child does.
func bury() error {
	child, err := os.StartProcess("/init", []string{"/init"}, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if pid == child.Pid || err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func serve() error {
	for _, m := range [][3]string{
		{"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}, {"dev", "/dev", "devtmpfs"},
		{"tmp", "/tmp", "tmpfs"}, {"run", "/run", "tmpfs"}, {"bpf", "/sys/fs/bpf", "bpf"},
	} {
		os.MkdirAll(m[1], 0o755)
		if err := unix.Mount(m[0], m[1], m[2], 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	os.Symlink("/proc/self/fd", "/dev/fd")
	os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	os.Setenv("HOME", "/")
	line, err := os.OpenFile("/dev/ttyS1", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := raw(int(line.Fd())); err != nil {
		return err
	}
	to, from := json.NewEncoder(line), json.NewDecoder(bufio.NewReader(line))
	a := answer{Output: "ready"}
	for {
		if err := to.Encode(a); err != nil {
			return err
		}
		var r request
		if err := from.Decode(&r); err != nil {
			return err
		}
		if r.Command == "" {
			return nil
		}
		a = run(r)
	}
}

// raw makes a terminal a plain line of bytes.
func raw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CLOCAL | unix.CREAD
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

func run(r request) answer {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.Seconds)*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", r.Command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	a := answer{string(out), cmd.ProcessState.ExitCode()}
	switch {
	case ctx.Err() != nil:
		a.Output += fmt.Sprintf("\nnot done after %d s", r.Seconds)
		a.Code = -1
	case cmd.ProcessState == nil:
		a.Output = err.Error()
	}
	return a
}
