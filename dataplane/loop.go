package dataplane

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// sleepSlice is the longest sleep: one slot of the timer wheel.
const sleepSlice = 100 * time.Millisecond

// napSlice is the longest nap, a bit less than Go's scheduler lets anybody keep a
// processor. Under load the next frame comes sooner. From an ordinary system call
// the scheduler would take the processor back and give it out again, with two
// switches of threads for each, and its own thread would look every 20 µs.
const napSlice = 8 * time.Millisecond

// ErrRunning tells that a worker is run by somebody else.
var ErrRunning = errors.New("worker is running")

// sleeper lets a worker wait for its queues without burning a core. Who has
// something for the worker writes the eventfd, but only if it sleeps.
type sleeper struct {
	asleep atomic.Bool
	event  atomic.Int32 // eventfd + 1, 0 = not running
	wakers atomic.Int32 // that may be about to write it
	nap    func(epoll int, events []unix.EpollEvent, most time.Duration) int
	epoll  int
	events []unix.EpollEvent // room for what ends a sleep
}

// Run forwards until ctx ends. now is a clock that never goes back; nil is
// the monotonic one. The goroutine keeps its OS thread to itself.
func (w *Worker) Run(ctx context.Context, now func() Time) error {
	if now == nil {
		now = Monotonic()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	close, err := w.open()
	if err != nil {
		return err
	}
	defer close()
	stop := context.AfterFunc(ctx, w.Wake)
	defer stop()
	for worked := false; ctx.Err() == nil; {
		// Spinning or yielding on a core shared with the kernel's receive
		// work was measured to halve the rate: an empty round sleeps.
		if w.Round(now()) {
			worked = true
			continue
		}
		if err := w.sleep(ctx, worked); err != nil {
			return err
		}
		worked = false
	}
	return nil
}

func (w *Worker) open() (close func(), err error) {
	w.mailbox.mu.Lock()
	defer w.mailbox.mu.Unlock()
	if w.mailbox.open {
		return nil, fmt.Errorf("run worker: %w", ErrRunning)
	}
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create eventfd: %w", err)
	}
	s := &w.sleeper
	if err := s.watch(event, w.nics); err != nil {
		return nil, errors.Join(err, unix.Close(event))
	}
	s.event.Store(int32(event) + 1)
	w.mailbox.open = true
	return func() {
		w.mailbox.mu.Lock()
		defer w.mailbox.mu.Unlock()
		w.mailbox.open = false
		w.mailbox.run()
		s.forget(event)
	}, nil
}

// forget closes what the sleeper waits for. Its number may be another file's
// at once, so those who are about to write it come first.
func (s *sleeper) forget(event int) {
	for s.event.Store(0); s.wakers.Load() > 0; {
		runtime.Gosched()
	}
	unix.Close(s.epoll)
	unix.Close(event)
}

// watch has an epoll look at the eventfd and the queues. poll would ask every
// queue twice a sleep, and where the NIC itself moves the frames each question
// is an interrupt. Of a queue only what comes counts: it was empty before.
func (s *sleeper) watch(event int, nics []egress) (err error) {
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("create epoll: %w", err)
	}
	errs := []error{unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(event)})}
	n := 1
	for _, e := range nics {
		for _, q := range e.queues {
			if fd := q.FD(); fd >= 0 {
				errs = append(errs, unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd)}))
				n++
			}
		}
	}
	s.events = make([]unix.EpollEvent, n)
	if err := errors.Join(errs...); err != nil {
		return errors.Join(fmt.Errorf("watch queues: %w", err), unix.Close(s.epoll))
	}
	return nil
}

// sleep sets the flag, looks once more, and waits: a moment without letting go
// of the processor if the worker has just worked, then by an ordinary system
// call, so that who idles costs nothing.
func (w *Worker) sleep(ctx context.Context, worked bool) error {
	s := &w.sleeper
	s.asleep.Store(true)
	defer s.asleep.Store(false)
	if w.mailbox.waits() || w.waiting.due(w.hops) || w.hasHanded() || w.sweeps() || ctx.Err() != nil {
		return nil
	}
	// What a refused kick has left in a ring would wait for the next frame.
	for i := range w.nics {
		for _, q := range w.nics[i].queues {
			q.Kick()
		}
	}
	n := 0
	if worked && s.nap != nil {
		n = s.nap(s.epoll, s.events, napSlice)
	}
	if n == 0 {
		var err error
		if n, err = unix.EpollWait(s.epoll, s.events, int(sleepSlice/time.Millisecond)); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for queues: %w", err)
		}
	}
	for i := range max(n, 0) {
		if fd := s.events[i].Fd; fd == s.event.Load()-1 {
			var count [8]byte
			_, _ = unix.Read(int(fd), count[:])
		}
	}
	return nil
}

// Wake ends the worker's sleep, if it sleeps.
func (w *Worker) Wake() {
	s := &w.sleeper
	if !s.asleep.Load() {
		return
	}
	s.wakers.Add(1)
	if event := s.event.Load(); event > 0 {
		one := [8]byte{0: 1}
		_, _ = unix.Write(int(event-1), one[:])
	}
	s.wakers.Add(-1)
}

// Monotonic returns a clock for Run: nanoseconds of CLOCK_MONOTONIC, which
// all processes of a machine share.
func Monotonic() func() Time {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	base, start := Time(ts.Nano()), time.Now()
	return func() Time { return base + Time(time.Since(start)) }
}
