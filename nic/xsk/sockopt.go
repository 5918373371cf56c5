package xsk

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxTxSKBBudget is how many frames one sendto sends in copy mode; 32 by
// default, and fixed before Linux 6.17 (XDP_MAX_TX_SKB_BUDGET).
const maxTxSKBBudget = 9

func setsockopt(fd, option int, value unsafe.Pointer, length uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(value), length, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func getsockopt(fd, option int, value unsafe.Pointer, length uintptr) error {
	size := uint32(length)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(value), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func setUint32(fd, option int, value uint32) error {
	return setsockopt(fd, option, unsafe.Pointer(&value), unsafe.Sizeof(value))
}

// sendto tells the kernel of frames to transmit. It is a raw system call: it
// cannot block, and the scheduler need not hear of it.
func sendto(fd int) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// Nap waits like unix.EpollWait, for at most d in whole milliseconds, and
// returns -1 when a signal ended it. Like the kicks it is a raw system call:
// nobody else gets the processor meanwhile, and the scheduler need not take it
// back afterwards. A garbage collection ends it.
func Nap(epoll int, events []unix.EpollEvent, d time.Duration) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(d/time.Millisecond), 0, 0)
	if errno != 0 {
		return -1
	}
	return int(n)
}

// recvfrom tells the kernel of chunks to receive into.
func recvfrom(fd int) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}
