package sockopt

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// childSocket is where the child finds its end of the socket pair.
const childSocket = 3

// Enter is the second half of Supervise, in the child: it puts the filter on
// the calling thread, hands the listener to the supervisor and becomes the
// program at path. It returns only if that failed.
func Enter(path string, args []string) error {
	if nativeArch == 0 {
		return fmt.Errorf("enter supervision: %w on %s", errors.ErrUnsupported, runtime.GOARCH)
	}
	// The filter is the thread's, and execve keeps only the thread that calls
	// it; the others of this process stay free until then.
	runtime.LockOSThread()
	if err := unix.SetsockoptInt(childSocket, unix.SOL_SOCKET, unix.SO_PASSCRED, 0); err != nil {
		return fmt.Errorf("enter supervision: %w: only lvx exec itself may ask for this", err)
	}
	unix.CloseOnExec(childSocket)
	ignoreAgain()
	// Without a supervisor nobody would answer; the program should end then.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return fmt.Errorf("enter supervision: %w", err)
	}
	l, err := install(filter())
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(childSocket, []byte{0}, unix.UnixRights(int(l)), nil, 0); err != nil {
		return fmt.Errorf("pass listener: %w", err)
	}
	unix.Close(int(l))
	return fmt.Errorf("run %s: %w", path, unix.Exec(path, args, os.Environ()))
}
