package sockopt

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a caller waits for the director.
const patience = 30 * time.Second

// supervisor answers the calls of one command and its descendants.
type supervisor struct {
	options
	listener listener
	realm    realm
}

// serve answers calls until no thread is left that could make one.
func (s *supervisor) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		n, done, err := s.listener.receive()
		switch {
		case done:
			return err
		case errors.Is(err, errGone):
		case err != nil:
			return fmt.Errorf("receive call: %w", err)
		default:
			// A caller may make even the reading of its memory last.
			go s.answer(ctx, &n)
		}
	}
}

// answer ends or resumes a call. That the caller is gone by then is no error.
func (s *supervisor) answer(ctx context.Context, n *notification) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch uint32(n.Call) {
	case nativeCalls.setsockopt:
		s.listener.finish(n.ID, s.setsockopt(ctx, n))
	case nativeCalls.getsockopt:
		s.listener.finish(n.ID, s.getsockopt(ctx, n))
	case nativeCalls.openat:
		s.open(ctx, n, int32(n.Arguments[0]), n.Arguments[1], n.Arguments[2])
	case nativeCalls.open:
		s.open(ctx, n, unix.AT_FDCWD, n.Arguments[0], n.Arguments[1])
	default:
		s.listener.resume(n.ID)
	}
}

// admitted looks at the caller of an option, in the kernel's order.
func (s *supervisor) admitted(n *notification) (*caller, unix.Errno) {
	c, err := openCaller(s.listener, n)
	if err != nil {
		return nil, unix.EPERM
	}
	errno := c.socket(int32(n.Arguments[0]))
	if errno == 0 && !s.realm.admits(c) {
		errno = unix.EPERM
	}
	if errno != 0 {
		c.close()
		return nil, errno
	}
	return c, 0
}

func (s *supervisor) setsockopt(ctx context.Context, n *notification) unix.Errno {
	option, at, size := int(int32(n.Arguments[2])), n.Arguments[3], int32(n.Arguments[4])
	c, errno := s.admitted(n)
	if errno != 0 {
		return errno
	}
	defer c.close()
	if int(size) != setSizes[option] {
		return unix.EINVAL
	}
	value, errno := c.read(at, int(size))
	if errno != 0 {
		return errno
	}
	return s.set(ctx, option, value)
}

func (s *supervisor) getsockopt(ctx context.Context, n *notification) unix.Errno {
	option, at, sizeAt := int(int32(n.Arguments[2])), n.Arguments[3], n.Arguments[4]
	c, errno := s.admitted(n)
	if errno != 0 {
		return errno
	}
	defer c.close()
	b, errno := c.read(sizeAt, 4)
	if errno != 0 {
		return errno
	}
	size := int32(binary.NativeEndian.Uint32(b))
	if size < 0 {
		return unix.EINVAL
	}
	argument, errno := c.read(at, min(int(size), getSizes[option]))
	if errno != 0 {
		return errno
	}
	if option == getInfo {
		s.sayBeyond(c)
	}
	answer, length, errno := s.get(ctx, option, argument, int(size))
	if errno != 0 {
		return errno
	}
	if errno := c.write(at, answer); errno != 0 {
		return errno
	}
	return c.write(sizeAt, binary.NativeEndian.AppendUint32(nil, uint32(min(length, math.MaxInt32))))
}

// open gives the caller a file of ours, or lets the kernel open what it will.
func (s *supervisor) open(ctx context.Context, n *notification, dirfd int32, at, flags uint64) {
	name, ours := s.fileOf(n, dirfd, at)
	if !ours {
		s.listener.resume(n.ID)
		return
	}
	fd, err := s.file(ctx, name)
	if err != nil {
		s.listener.finish(n.ID, s.errno(err))
		return
	}
	defer fd.Close()
	err = s.listener.give(n.ID, int(fd.Fd()), flags&unix.O_CLOEXEC != 0)
	var errno unix.Errno
	if errors.As(err, &errno) {
		s.listener.finish(n.ID, errno) // the caller has too many files open
	}
}

func (s *supervisor) fileOf(n *notification, dirfd int32, at uint64) (string, bool) {
	c, err := openCaller(s.listener, n)
	if err != nil {
		return "", false
	}
	defer c.close()
	name, ok := c.path(at)
	if !ok || !mayBeOurs(name) {
		return "", false
	}
	name, err = c.absolute(name, dirfd)
	if err != nil {
		return "", false
	}
	return fileOf(name)
}

// file returns what a file of /proc/net would hold now, open for reading.
func (s *supervisor) file(ctx context.Context, name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	w := bufio.NewWriter(f)
	if err := errors.Join(files[name](ctx, s.director, w), w.Flush(), f.Chmod(0o444)); err != nil {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	// Opened again, it cannot be written and is read from the beginning.
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}
