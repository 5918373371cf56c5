package netlab

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Sweep removes the labs of processes that no longer exist, with whatever
// still runs in them.
func Sweep() error {
	var errs []error
	for _, path := range orphans(namespaces) {
		endProcesses(path)
		err := netns.DeleteNamed(filepath.Base(path))
		if errors.Is(err, unix.EINVAL) { // made but not mounted yet
			err = os.Remove(path)
		}
		if !errors.Is(err, os.ErrNotExist) { // another run sweeps too
			errs = append(errs, err)
		}
	}
	for _, path := range orphans(dirs) {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// orphans lists the names in dir that belong to runs whose process is gone.
func orphans(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, prefix+"*"))
	var gone []string
	for _, path := range found {
		run, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), prefix), "-")
		digits, _, _ := strings.Cut(run, ".")
		pid, err := strconv.Atoi(digits)
		if err == nil && pid > 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			gone = append(gone, path)
		}
	}
	return gone
}

// endProcesses kills the processes whose namespace is the one mounted at path.
func endProcesses(path string) {
	var space, of unix.Stat_t
	if unix.Stat(path, &space) != nil {
		return
	}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, link := range links {
		if unix.Stat(link, &of) != nil || of.Ino != space.Ino || of.Dev != space.Dev {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(link, "/")[2]); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
