package vm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// bootPatience is long, as other people may use the same cores.
const bootPatience = 10 * time.Minute

// Config says what a Machine is like.
type Config struct {
	Kernel string            // newest, 6.12 or 6.1
	CPUs   int               // 1 by default
	NICs   []string          // QEMU arguments
	Dense  bool              // idle time is skipped: an instruction is a nanosecond, a sleep is none
	Files  map[string]string // path in the guest → file here that is put there

	// Within runs what starts QEMU and waits for it, in another network
	// namespace for example, on a thread that does nothing else.
	Within func(run func() error) error
}

// Machine is a running virtual machine. It is used by one goroutine at a time.
type Machine struct {
	Version string // of its kernel

	dir     string
	console *os.File
	line    net.Conn
	from    *json.Decoder
	cmd     *exec.Cmd
	over    chan struct{} // closed when QEMU has ended
	stop    sync.Once
}

type answer struct {
	Output string
	Code   int
}

// Boot starts a machine and waits until it takes commands.
func Boot(cfg Config) (m *Machine, err error) {
	s, err := openStore()
	if err != nil {
		return nil, err
	}
	defer s.close()
	tools, err := s.tools()
	if err != nil {
		return nil, err
	}
	img, err := s.image(cfg.Kernel, tools)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lvx-vm-")
	if err != nil {
		return nil, err
	}
	m = &Machine{Version: img.version, dir: dir, over: make(chan struct{})}
	defer func() {
		if err != nil {
			err = fmt.Errorf("boot kernel %s: %w\n%s", img.version, err, m.Console())
			m.Stop()
		}
	}()
	if err := m.joinArchive(img.archive, cfg.Files); err != nil {
		return m, err
	}
	if err := m.start(m.qemu(tools, img, cfg), cfg.Within); err != nil {
		return m, err
	}
	return m, m.await()
}

// joinArchive puts the files of this run behind the image's own.
func (m *Machine) joinArchive(base string, files map[string]string) error {
	out, err := os.Create(filepath.Join(m.dir, "initramfs"))
	if err != nil {
		return err
	}
	defer out.Close()
	in, err := os.Open(base)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	a := newArchive(out)
	for name, from := range files {
		a.copy(name, from)
	}
	return a.close()
}

func (m *Machine) qemu(t toolbox, img image, cfg Config) *exec.Cmd {
	args := []string{
		"-L", t.path("usr/share/qemu"), "-L", t.path("usr/share/seabios"),
		"-machine", "q35", "-accel", "tcg", "-m", "2048", "-smp", strconv.Itoa(max(cfg.CPUs, 1)),
		"-nodefaults", "-nographic", "-no-reboot", "-monitor", "none",
		"-chardev", "socket,id=line,server=on,wait=off,path=" + filepath.Join(m.dir, "line"),
		"-serial", "stdio", "-serial", "chardev:line",
		"-kernel", img.kernel, "-initrd", filepath.Join(m.dir, "initramfs"),
		"-append", "console=ttyS0 panic=1 quiet loglevel=4 mitigations=off tsc=reliable no_timer_check",
	}
	if cfg.Dense {
		args = append(args, "-icount", "shift=0,sleep=off")
	}
	cmd := t.command(t.path("usr/bin/qemu-system-x86_64"), "qemu-system-x86_64", append(args, cfg.NICs...)...)
	cmd.Env = append(os.Environ(), "QEMU_MODULE_DIR="+t.path("usr/lib/x86_64-linux-gnu/qemu"))
	return cmd
}

// start runs QEMU at a low priority. It dies with the thread that started it,
// and so with this process.
func (m *Machine) start(cmd *exec.Cmd, within func(run func() error) error) (err error) {
	if m.console, err = os.Create(filepath.Join(m.dir, "console")); err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = m.console, m.console
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if within == nil {
		within = onThread
	}
	started := make(chan error)
	go func() {
		err := within(func() error {
			if err := cmd.Start(); err != nil {
				return err
			}
			started <- nil
			cmd.Wait()
			return nil
		})
		if err != nil {
			started <- err
		}
		close(m.over)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start qemu: %w", err)
	}
	m.cmd = cmd
	syscall.Setpriority(syscall.PRIO_PGRP, cmd.Process.Pid, 10)
	return nil
}

func onThread(run func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return run()
}

// await connects the serial line and waits for the guest's first word.
func (m *Machine) await() error {
	for end := time.Now().Add(bootPatience); m.line == nil; {
		line, err := net.Dial("unix", filepath.Join(m.dir, "line"))
		switch {
		case err == nil:
			m.line = line
		case !m.alive() || time.Now().After(end):
			return errors.New("qemu did not start")
		default:
			time.Sleep(10 * time.Millisecond)
		}
	}
	m.from = json.NewDecoder(m.line)
	_, err := m.take(bootPatience)
	return err
}

func (m *Machine) alive() bool {
	select {
	case <-m.over:
		return false
	default:
		return true
	}
}

func (m *Machine) take(patience time.Duration) (a answer, err error) {
	m.line.SetReadDeadline(time.Now().Add(patience))
	if err := m.from.Decode(&a); err != nil {
		return a, fmt.Errorf("the guest does not answer: %w", err)
	}
	return a, nil
}

// Run runs a shell command in the guest and returns what it printed and its
// exit status, -1 if it did not end in time.
func (m *Machine) Run(command string, patience time.Duration) (string, int, error) {
	request := struct {
		Command string
		Seconds int
	}{command, int(patience.Seconds())}
	m.line.SetWriteDeadline(time.Now().Add(10 * time.Second))
	if err := json.NewEncoder(m.line).Encode(request); err != nil {
		return "", -1, fmt.Errorf("ask the guest: %w", err)
	}
	a, err := m.take(patience + time.Minute)
	return a.Output, a.Code, err
}

// Console returns the last lines that kernel and QEMU have printed.
func (m *Machine) Console() string {
	text, _ := os.ReadFile(filepath.Join(m.dir, "console"))
	text = bytes.ReplaceAll(text, []byte("\r"), nil)
	return string(text[max(0, len(text)-4000):])
}

// Stop ends the machine and removes its files.
func (m *Machine) Stop() {
	m.stop.Do(func() {
		if m.cmd != nil {
			m.cmd.Process.Kill()
			<-m.over
		}
		if m.line != nil {
			m.line.Close()
		}
		if m.console != nil {
			m.console.Close()
		}
		os.RemoveAll(m.dir)
	})
}
