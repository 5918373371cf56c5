package xsk

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Mode is how frames get between a NIC and the UMEM.
type Mode uint8

// Modes, the fastest first.
const (
	ZeroCopy Mode = iota // native XDP, the NIC reads and writes the UMEM itself
	Native               // native XDP, the kernel copies
	Generic              // generic XDP, the kernel copies
)

// String returns the word for m that `lvx run --mode` takes.
func (m Mode) String() string {
	switch m {
	case ZeroCopy:
		return "zerocopy"
	case Native:
		return "native"
	case Generic:
		return "generic"
	}
	return "unknown"
}

// bindFlags are those of the first socket. A socket is bound alike for native
// and generic XDP: there the attached program makes the difference.
func (m Mode) bindFlags() uint16 {
	if m == ZeroCopy {
		return unix.XDP_ZEROCOPY | unix.XDP_USE_NEED_WAKEUP
	}
	return unix.XDP_COPY | unix.XDP_USE_NEED_WAKEUP
}

// Errors of this package.
var (
	ErrSize         = errors.New("impossible size")
	ErrNotSupported = errors.New("the NIC or its driver does not support this mode")
	ErrBusy         = errors.New("the queue has a socket already")
	ErrLocked       = errors.New("not allowed to lock so much memory: raise RLIMIT_MEMLOCK or give CAP_IPC_LOCK")
	ErrTransmit     = errors.New("the queue has no transmit half")
	ErrMode         = errors.New("the kernel chose another mode")
)
