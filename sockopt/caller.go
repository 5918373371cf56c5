package sockopt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// caller is a thread that waits in a stopped call. What is read of it is
// read through its folder in /proc, which stands for this thread even when
// its number is given to another.
type caller struct {
	listener listener
	id       uint64 // of the call
	proc     int
}

func openCaller(l listener, n *notification) (*caller, error) {
	if n.Thread == 0 {
		return nil, errors.New("the caller is in a process namespace that cannot be seen")
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(int(n.Thread)), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("look at caller: %w", err)
	}
	c := &caller{l, n.ID, fd}
	if !l.valid(n.ID) {
		c.close()
		return nil, errGone
	}
	return c, nil
}

func (c *caller) close() { unix.Close(c.proc) }

// memory opens the caller's memory and passes it to do, if the caller still
// waits then.
func (c *caller) memory(flags int, do func(fd int) error) error {
	fd, err := unix.Openat(c.proc, "mem", flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open memory of caller: %w", err)
	}
	defer unix.Close(fd)
	if !c.listener.valid(c.id) {
		return errGone
	}
	return do(fd)
}

// maxRead bounds what is read of a caller's memory at once.
const maxRead = 64 << 10

// read copies n bytes of the caller's memory, which may change afterwards:
// whoever judges them must also act on the copy.
func (c *caller) read(at uint64, n int) ([]byte, unix.Errno) {
	if n > maxRead {
		return nil, unix.EINVAL
	}
	b := make([]byte, n)
	if n == 0 {
		return b, 0
	}
	err := c.memory(unix.O_RDONLY, func(fd int) error {
		got, err := unix.Pread(fd, b, int64(at))
		if err != nil || got < n {
			return unix.EFAULT
		}
		return nil
	})
	if err != nil || !c.listener.valid(c.id) {
		return nil, unix.EFAULT
	}
	return b, 0
}

func (c *caller) write(at uint64, b []byte) unix.Errno {
	err := c.memory(unix.O_WRONLY, func(fd int) error {
		for len(b) > 0 {
			n, err := unix.Pwrite(fd, b, int64(at))
			if err != nil || n == 0 {
				return unix.EFAULT
			}
			at, b = at+uint64(n), b[n:]
		}
		return nil
	})
	if err != nil {
		return unix.EFAULT
	}
	return 0
}

// maxPath is more than a path needs that means a file of ours.
const maxPath = 256

// path reads a path of the caller's, without crossing into a page that it
// need not have.
func (c *caller) path(at uint64) (string, bool) {
	var text []byte
	err := c.memory(unix.O_RDONLY, func(fd int) error {
		for len(text) < maxPath {
			from := at + uint64(len(text))
			b := make([]byte, min(maxPath-len(text), int(4096-from%4096)))
			n, err := unix.Pread(fd, b, int64(from))
			if err != nil || n == 0 {
				return unix.EFAULT
			}
			if end := bytes.IndexByte(b[:n], 0); end >= 0 {
				text = append(text, b[:end]...)
				return nil
			}
			text = append(text, b[:n]...)
		}
		return unix.ENAMETOOLONG
	})
	return string(text), err == nil && c.listener.valid(c.id)
}

// absolute resolves a path as openat would, from the folder open as dirfd.
func (c *caller) absolute(name string, dirfd int32) (string, error) {
	if path.IsAbs(name) {
		return name, nil
	}
	from := "cwd"
	if dirfd != unix.AT_FDCWD {
		from = "fd/" + strconv.Itoa(int(dirfd))
	}
	folder, err := c.link(from)
	return path.Join(folder, name), err
}

func (c *caller) link(name string) (string, error) {
	b := make([]byte, maxPath)
	n, err := unix.Readlinkat(c.proc, name, b)
	return string(b[:max(n, 0)]), err
}

// socket tells what is wrong with a socket's number.
func (c *caller) socket(fd int32) unix.Errno {
	target, err := c.link("fd/" + strconv.Itoa(int(fd)))
	switch {
	case err != nil:
		return unix.EBADF
	case !strings.HasPrefix(target, "socket:"):
		return unix.ENOTSOCK
	}
	return 0
}

// text returns the beginning of a regular file in the caller's folder, or
// nothing.
func (c *caller) text(name string, most int64) string {
	fd, err := unix.Openat(c.proc, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if is, err := f.Stat(); err != nil || !is.Mode().IsRegular() {
		return ""
	}
	b, _ := io.ReadAll(io.LimitReader(f, most))
	return string(b)
}

// capabilities returns the thread's effective capabilities.
func (c *caller) capabilities() (uint64, error) {
	_, rest, _ := strings.Cut(c.text("status", 8192), "\nCapEff:\t")
	line, _, _ := strings.Cut(rest, "\n")
	return strconv.ParseUint(line, 16, 64)
}
