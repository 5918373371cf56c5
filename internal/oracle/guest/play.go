package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"golang.org/x/sys/unix"
)

// mostTries is how often a scenario is played until no step is late.
const mostTries = 3

// director is a machine that scenarios are played to.
type director struct {
	subject
	kernel string
	sides  []taps        // each gets every frame; the last one has the services
	began  time.Duration // the scenario
}

// subject is who has the services: the kernel, or lvx.
type subject interface {
	renew() error // as if there had been no scenario before
	command(words []string, input string) (output string, code int, err error)
	list(r *record.Result) error
	// arriving returns a frame as a tap takes it, behind a struct virtio_net_hdr.
	arriving(f record.Frame) []byte
	settles() time.Duration // what a step needs, however late it came
	end() error
}

func now() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// play carries out a scenario on a director that has forgotten all others. Every
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
	if err := d.renew(); err != nil {
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
			err = d.wait(max(d.began+step.Due+step.Takes(), now()+d.settles()), step.Result)
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
				if err := side.bring(s.NIC, d.arriving(f)); err != nil {
					return err
				}
			}
		}
	case len(s.Command) > 0:
		var err error
		r.Output, r.Code, err = d.command(s.Command, s.Input)
		return err
	case s.List:
		return d.list(r)
	}
	return nil
}

// carryOut runs a program.
func carryOut(cmd *exec.Cmd, input string) (output string, code int, err error) {
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return "", 0, err
	}
	return string(out), cmd.ProcessState.ExitCode(), nil
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
		last := len(d.sides) - 1
		for _, side := range d.sides[:last] {
			if r.Plain, err = side.take(at, r.Plain); err != nil {
				return err
			}
		}
		if r.Out, err = d.sides[last].take(at, r.Out); err != nil {
			return err
		}
	}
}
