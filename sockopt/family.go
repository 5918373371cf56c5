package sockopt

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// family is the command and its descendants.
type family struct {
	mu    sync.Mutex
	first int // the command's process, 0 when it has ended
}

// reap waits for all children, adopted ones too, and returns the status of
// the first.
func (f *family) reap() (status int) {
	first := f.first
	for {
		// Waiting without reaping first: a number that may be signalled must
		// not be free for another process.
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOWAIT, nil)
		switch err {
		case nil:
		case unix.EINTR:
			continue
		default: // ECHILD: the last has ended
			return status
		}
		f.mu.Lock()
		var how unix.WaitStatus
		pid, err := unix.Wait4(-1, &how, unix.WNOHANG, nil)
		if err == nil && pid == first {
			f.first, status = 0, statusOf(how)
		}
		f.mu.Unlock()
	}
}

func statusOf(how unix.WaitStatus) int {
	if how.Signaled() {
		return 128 + int(how.Signal())
	}
	return how.ExitStatus()
}

// unforwarded are signals that mean this process itself, or cannot be caught.
var unforwarded = map[unix.Signal]bool{
	unix.SIGKILL: true, unix.SIGSTOP: true, unix.SIGTSTP: true, unix.SIGTTIN: true, unix.SIGTTOU: true,
	unix.SIGCHLD: true, unix.SIGURG: true, unix.SIGPIPE: true, unix.SIGPROF: true,
	unix.SIGILL: true, unix.SIGTRAP: true, unix.SIGABRT: true, unix.SIGBUS: true, unix.SIGFPE: true, unix.SIGSEGV: true, unix.SIGSYS: true,
	32: true, 33: true, 34: true, // of the C library and the Go runtime
}

const lastSignal = 64

// ignored are the signals that this process was started to ignore, under nohup
// or in the background. The command ignores them too: a Go program that asks
// for a signal forgets that.
var ignored = func() (list []os.Signal) {
	for s := unix.Signal(1); s <= lastSignal; s++ {
		if !unforwarded[s] && signal.Ignored(s) {
			list = append(list, s)
		}
	}
	return list
}()

func ignoreAgain() {
	if len(ignored) > 0 { // none would mean all
		signal.Ignore(ignored...)
	}
}

// notice asks for the signals that are to be passed on.
func notice() chan os.Signal {
	ignoreAgain()
	var wanted []os.Signal
	for s := unix.Signal(1); s <= lastSignal; s++ {
		if !unforwarded[s] && !slices.Contains(ignored, os.Signal(s)) {
			wanted = append(wanted, s)
		}
	}
	arrived := make(chan os.Signal, lastSignal)
	signal.Notify(arrived, wanted...)
	return arrived
}

// forward passes on what arrives.
func (f *family) forward(arrived chan os.Signal) {
	for s := range arrived {
		f.signal(s.(unix.Signal))
	}
}

// signal passes a signal to the command, or if that has left daemons behind
// to those of them that are children of this process.
func (f *family) signal(s unix.Signal) {
	if (s == unix.SIGINT || s == unix.SIGQUIT) && inForeground() {
		return // the terminal has sent it to the command too
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first != 0 {
		unix.Kill(f.first, s)
		return
	}
	for _, pid := range childrenOf(os.Getpid()) {
		unix.Kill(pid, s)
	}
}

// inForeground reports whether this process is of the group that a terminal
// sends its signals to.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// childrenOf returns the processes whose parent is that one.
func childrenOf(parent int) (pids []int) {
	folders, _ := os.ReadDir("/proc")
	for _, f := range folders {
		pid, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		// The name, in parentheses, may hold anything.
		rest := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(rest) > 1 && rest[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}
