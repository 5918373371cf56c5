package sockopt

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/service"
)

// errnos says how the kernel would have put a director's refusal. Those that
// it has no number for are logged.
var errnos = []struct {
	err   error
	errno unix.Errno
	log   bool
}{
	{service.ErrServiceExists, unix.EEXIST, false},
	{service.ErrNoService, unix.ESRCH, false},
	{service.ErrServiceNotDefined, unix.ESRCH, false},
	{service.ErrServerExists, unix.EEXIST, false},
	{service.ErrNoServer, unix.ENOENT, false},
	{service.ErrScheduler, unix.ENOENT, false},
	{service.ErrInvalid, unix.EINVAL, false},
	{service.ErrRange, unix.ERANGE, false},
	{service.ErrNotSupported, unix.EOPNOTSUPP, true},
	{admin.ErrForbidden, unix.EPERM, true},
	{admin.ErrUnreachable, unix.ENOPROTOOPT, true}, // as where ip_vs is not loaded
	{admin.ErrBusy, unix.EBUSY, true},
	{context.DeadlineExceeded, unix.ETIMEDOUT, true},
}

func (o *options) errno(err error) unix.Errno {
	if err == nil {
		return 0
	}
	errno, log := unix.EIO, true
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			errno, log = e.errno, e.log
			break
		}
	}
	if log {
		o.log.Warn("the director refuses", "answer", errno, "why", err)
	}
	return errno
}
