package sockopt

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notification is struct seccomp_notif: a call that has been stopped.
type notification struct {
	ID        uint64
	Thread    uint32 // that waits in the call, 0 if it is out of sight
	_         uint32
	Call      int32
	Arch      uint32
	_         uint64
	Arguments [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	ID    uint64
	Value int64
	Error int32 // negative, as in the kernel
	Flags uint32
}

// addition is struct seccomp_notif_addfd.
type addition struct {
	ID        uint64
	Flags     uint32
	FD        uint32
	_         uint32
	OpenFlags uint32
}

const (
	ioctlReceive = unix.SECCOMP_IOCTL_NOTIF_RECV
	ioctlSend    = unix.SECCOMP_IOCTL_NOTIF_SEND
	ioctlValid   = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
	ioctlAdd     = 0x40182103 // SECCOMP_IOCTL_NOTIF_ADDFD
)

// errGone says that the caller does not wait any more: it was killed, or a
// signal took it out of the call before the call was received.
var errGone = errors.New("the caller is gone")

// listener receives the calls that a filter stops.
type listener int

// install puts the filter on the calling thread, which must be locked.
func install(program []unix.SockFilter) (listener, error) {
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// WAIT_KILLABLE_RECV: once a call is received, only death takes the caller
	// out of it, or a signal would make it repeat what was already done. Before
	// Linux 6.18, and the stable releases of October 2025, a caller that a
	// signal finds between receipt and a very fast answer may still repeat it.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&p)))
	runtime.KeepAlive(program)
	switch errno {
	case 0:
		return listener(fd), nil
	case unix.EACCES:
		return -1, fmt.Errorf("install filter: %w: CAP_SYS_ADMIN is needed", errno)
	case unix.EINVAL:
		return -1, fmt.Errorf("install filter: %w: Linux 5.19 or newer is needed", errno)
	case unix.EBUSY:
		return -1, fmt.Errorf("install filter: %w: another supervisor answers calls here already", errno)
	}
	return -1, fmt.Errorf("install filter: %w", errno)
}

func (l listener) ioctl(request uintptr, argument unsafe.Pointer) (int, error) {
	for {
		n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l), request, uintptr(argument))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.ENOENT:
			return 0, errGone
		default:
			return 0, errno
		}
	}
}

// receive waits for a call. It returns errGone if the caller was killed just
// then, and done when no thread is left under the filter.
func (l listener) receive() (n notification, done bool, err error) {
	poll := []unix.PollFd{{Fd: int32(l), Events: unix.POLLIN}}
	for poll[0].Revents == 0 {
		if _, err := unix.Poll(poll, -1); err != nil && err != unix.EINTR {
			return n, true, fmt.Errorf("wait for calls: %w", err)
		}
	}
	if poll[0].Revents&unix.POLLIN == 0 {
		return n, true, nil
	}
	_, err = l.ioctl(ioctlReceive, unsafe.Pointer(&n))
	return n, false, err
}

// valid reports whether the caller still waits, and so whether what was
// opened by its number is its own.
func (l listener) valid(id uint64) bool {
	_, err := l.ioctl(ioctlValid, unsafe.Pointer(&id))
	return err == nil
}

// finish ends the call with a result.
func (l listener) finish(id uint64, errno unix.Errno) error {
	r := response{ID: id, Error: -int32(errno)}
	_, err := l.ioctl(ioctlSend, unsafe.Pointer(&r))
	return err
}

// resume lets the kernel carry out the call.
func (l listener) resume(id uint64) error {
	r := response{ID: id, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	_, err := l.ioctl(ioctlSend, unsafe.Pointer(&r))
	return err
}

// give ends the call with a duplicate of fd in the caller as its result.
func (l listener) give(id uint64, fd int, closeOnExec bool) error {
	a := addition{ID: id, Flags: unix.SECCOMP_ADDFD_FLAG_SEND, FD: uint32(fd)}
	if closeOnExec {
		a.OpenFlags = unix.O_CLOEXEC
	}
	_, err := l.ioctl(ioctlAdd, unsafe.Pointer(&a))
	return err
}
