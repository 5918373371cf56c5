package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/service"
	"golang.org/x/sys/unix"
)

// mostTries is how often a scenario is played until no step is late.
const mostTries = 3

// director is the kernel, without and with services.
type director struct {
	kernel string
	sides  [2]taps
	rules  *service.Set  // by which it marks packets
	marked bool          // it may, by some
	began  time.Duration // the scenario
}

func now() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// play carries out a scenario on a kernel that has forgotten all others. Every
// step begins when it is due, so that timers run out where its author meant
// them to; should one be late, the scenario is played again.
func (d *director) play(s *record.Scenario) error {
	s.Kernel = d.kernel
	for s.Tries = 1; ; s.Tries++ {
		if err := d.once(s); err != nil {
			return err
		}
		if s.Late() <= record.MostLate || s.Tries == mostTries {
			return nil
		}
	}
}

func (d *director) once(s *record.Scenario) error {
	if err := d.forget(); err != nil {
		return err
	}
	if err := d.wait(now()+time.Millisecond, &record.Result{}); err != nil {
		return err
	}
	d.began = now()
	for i := range s.Steps {
		step := &s.Steps[i]
		step.Result = &record.Result{At: now() - d.began}
		err := d.step(step)
		if err == nil {
			err = d.wait(d.began+step.Due+step.Takes(), step.Result)
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func (d *director) step(s *record.Step) error {
	r := s.Result
	switch {
	case len(s.Frames) > 0:
		for _, f := range s.Frames {
			for _, side := range d.sides {
				if err := side.bring(s.NIC, f); err != nil {
					return err
				}
			}
		}
	case len(s.Command) > 0 && s.Command[0] == "mark":
		return d.mark(s)
	case len(s.Command) > 0:
		cmd := exec.Command(s.Command[0], s.Command[1:]...)
		cmd.Stdin = strings.NewReader(s.Input)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			return err
		}
		r.Code, r.Output = cmd.ProcessState.ExitCode(), string(out)
	case s.List:
		var err error
		if r.Services, err = lines("/proc/thread-self/net/ip_vs", 3); err == nil {
			r.Conns, err = lines("/proc/thread-self/net/ip_vs_conn", 1)
		}
		return err
	}
	return nil
}

// wait lets time go by until end and takes what leaves meanwhile. Idle time is
// skipped and costs nothing. The kernel adds up to a thousandth to the time of
// a poll, so the last second is polled for by itself.
func (d *director) wait(end time.Duration, r *record.Result) error {
	var polled []unix.PollFd
	for _, side := range d.sides {
		for _, fd := range side {
			polled = append(polled, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
	for {
		left := max(0, end-now())
		if left > 2*time.Second {
			left -= time.Second
		}
		timeout := unix.NsecToTimespec(int64(left))
		n, err := unix.Ppoll(polled, &timeout, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait: %w", err)
		}
		if n <= 0 {
			if now() < end {
				continue
			}
			return nil
		}
		at := now() - d.began
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

// modules are those that remember something, in the order in which they need
// each other.
var modules = []string{"nf_conntrack", "nf_nat", "ipvs/ip_vs", "ipvs/ip_vs_rr", "ipvs/ip_vs_wrr", "ipvs/ip_vs_lc", "ipvs/ip_vs_wlc",
	"ipvs/ip_vs_fo", "ipvs/ip_vs_ovf", "ipvs/ip_vs_lblc", "ipvs/ip_vs_lblcr", "ipvs/ip_vs_dh", "ipvs/ip_vs_sh", "ipvs/ip_vs_mh",
	"ipvs/ip_vs_sed", "ipvs/ip_vs_nq", "ipvs/ip_vs_ftp"}

// forget makes the kernel forget marks, services, connections, timeouts and
// settings.
func (d *director) forget() error {
	if d.rules = service.NewSet(service.Marks); d.marked {
		if err := d.lay(); err != nil {
			return err
		}
	}
	// Connections end with their servers then, and with them what holds modules.
	_ = os.WriteFile("/proc/sys/net/ipv4/vs/expire_nodest_conn", []byte("1"), 0)
	if out, err := exec.Command("ipvsadm", "-C").CombinedOutput(); err != nil {
		return fmt.Errorf("clear services: %w: %s", err, out)
	}
	for _, name := range slices.Backward(modules) {
		if err := remove(filepath.Base(name)); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	for _, name := range modules {
		if err := load(name); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	// Of connections of FTP it would drop what is beyond the window.
	return os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal", []byte("1"), 0)
}

// remove waits until the module is out of use: the kernel lets go of deleted
// services and their connections a little later.
func remove(name string) error {
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		err := unix.DeleteModule(name, 0)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EBUSY) || pause > time.Hour {
			return err
		}
		time.Sleep(pause)
	}
}

func load(name string) error {
	found, err := filepath.Glob("/lib/modules/*/kernel/net/netfilter/" + name + ".ko")
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
