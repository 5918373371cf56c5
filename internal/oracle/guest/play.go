package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"golang.org/x/sys/unix"
)

// settle is how long a step's consequences are waited for. With idle time
// skipped it costs nothing.
const settle = 5 * time.Millisecond

// director is the kernel, without and with services.
type director struct {
	kernel string
	sides  [2]taps
}

func now() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// play carries out a scenario on a kernel that has forgotten all others.
func (d *director) play(s *record.Scenario) error {
	s.Kernel = d.kernel
	if err := reload(); err != nil {
		return err
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		step.Result = &record.Result{}
		if err := d.step(step); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func (d *director) step(s *record.Step) error {
	r := s.Result
	r.At = now()
	switch {
	case len(s.Frames) > 0:
		for _, f := range s.Frames {
			for _, side := range d.sides {
				if err := side.bring(s.NIC, f); err != nil {
					return err
				}
			}
		}
		return d.wait(settle, r)
	case len(s.Command) > 0:
		cmd := exec.Command(s.Command[0], s.Command[1:]...)
		cmd.Stdin = strings.NewReader(s.Input)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			return err
		}
		r.Code, r.Output = cmd.ProcessState.ExitCode(), string(out)
		return d.wait(settle, r)
	case s.Sleep > 0:
		return d.wait(s.Sleep, r)
	}
	var err error
	if r.Services, err = lines("/proc/thread-self/net/ip_vs", 3); err == nil {
		r.Conns, err = lines("/proc/thread-self/net/ip_vs_conn", 1)
	}
	return err
}

// wait lets time go by and takes what leaves meanwhile.
func (d *director) wait(t time.Duration, r *record.Result) error {
	var polled []unix.PollFd
	for _, side := range d.sides {
		for _, fd := range side {
			polled = append(polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	for end := now() + t; ; {
		left := end - now()
		if left <= 0 {
			return nil
		}
		n, err := unix.Poll(polled, int((left+time.Millisecond-1)/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait: %w", err)
		}
		if n <= 0 {
			continue
		}
		at := now()
		if r.Plain, err = d.sides[0].take(at, r.Plain); err != nil {
			return err
		}
		if r.Out, err = d.sides[1].take(at, r.Out); err != nil {
			return err
		}
	}
}

// lines reads a list of the kernel without its heading.
func lines(name string, heading int) ([]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	for i := range all {
		all[i] = strings.Join(strings.Fields(all[i]), " ")
	}
	return all[min(heading, len(all)):], nil
}

var modules = []string{"ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_wlc", "ip_vs_mh"}

// reload makes IPVS forget services, connections, timeouts and settings.
func reload() error {
	if out, err := exec.Command("ipvsadm", "-C").CombinedOutput(); err != nil {
		return fmt.Errorf("clear services: %w: %s", err, out)
	}
	for i := len(modules) - 1; i >= 0; i-- {
		if err := remove(modules[i]); err != nil {
			return fmt.Errorf("remove %s: %w", modules[i], err)
		}
	}
	for _, name := range modules {
		if err := load(name); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// remove waits until the module is out of use: the kernel lets go of deleted
// services a little later.
func remove(name string) error {
	for end := now() + 10*time.Second; ; time.Sleep(10 * time.Millisecond) {
		err := unix.DeleteModule(name, 0)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EBUSY) || now() > end {
			return err
		}
	}
}

func load(name string) error {
	found, err := filepath.Glob("/lib/modules/*/kernel/net/netfilter/ipvs/" + name + ".ko")
	if err != nil || len(found) != 1 {
		return fmt.Errorf("found %q: %w", found, os.ErrNotExist)
	}
	file, err := os.Open(found[0])
	if err != nil {
		return err
	}
	defer file.Close()
	return unix.FinitModule(int(file.Fd()), "", 0)
}
