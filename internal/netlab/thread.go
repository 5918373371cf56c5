package netlab

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// onThread runs do on an operating system thread of its own and waits for it.
// The thread ends with do, so whatever namespaces do enters are left too.
func onThread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		var err error
		defer func() { done <- err }() // also when do ends the goroutine, as t.Fatal does
		err = do()
	}()
	return <-done
}

// Do runs do inside the host and waits for it. Sockets that do opens belong to
// the host wherever they are used later; goroutines that it starts do not.
func (h *Host) Do(do func() error) error {
	return onThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return fmt.Errorf("enter %s: %w", h.Name, err)
		}
		return do()
	})
}

// ownMounts gives the calling thread mounts of its own, in which /sys shows
// the host's NICs and the host's Files hide those of the machine.
func (h *Host) ownMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Mount("", "/", "none", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep mounts apart: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	for path, contents := range h.Files {
		own := filepath.Join(h.lab.Dir, h.Name+"-"+filepath.Base(path))
		if err := os.WriteFile(own, []byte(contents), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(own, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("put %s in place: %w", path, err)
		}
	}
	return nil
}
