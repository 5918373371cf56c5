package sockopt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/admin"
)

// Command is a program to run under supervision.
type Command struct {
	Path   string   // of the program
	Args   []string // its arguments, the name it is called by first
	Enter  []string // arguments that make this process's own binary call Enter with Path and Args, which are appended
	Socket string   // of the director
	Log    *slog.Logger
}

// Supervise runs a command with the standard files of this process and
// answers its calls until the last of its descendants has ended. It returns
// the status with which the command itself has ended, 128 and the number of
// the signal if one killed it. Signals to this process go to the command.
//
// The process must have no other children: Supervise adopts and reaps all
// that become its own.
func Supervise(ctx context.Context, c Command) (status int, err error) {
	// The command is told when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	director, err := admin.Dial(ctx, c.Socket)
	if err != nil {
		return 0, err
	}
	s := supervisor{options: options{director: director, log: c.Log}}
	if s.realm, err = realmOf(c.Socket); err != nil {
		return 0, err
	}
	// Daemons become children of this process instead of init's, whoever
	// starts them; so none is forgotten, and all are reaped.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("adopt descendants: %w", err)
	}
	arrived := notice()
	defer close(arrived)
	defer signal.Stop(arrived)
	socket, child, err := c.start()
	if err != nil {
		return 0, err
	}
	f := &family{first: child}
	go f.forward(arrived)
	reaped := make(chan int, 1)
	go func() { reaped <- f.reap() }()
	s.listener, err = receiveListener(socket)
	if err != nil {
		return <-reaped, nil // the child has said why
	}
	err = s.serve(context.WithoutCancel(ctx))
	unix.Close(int(s.listener))
	return <-reaped, err
}

// start starts the child and returns our end of the socket pair with it.
func (c *Command) start() (socket, pid int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("make socket pair: %w", err)
	}
	defer unix.Close(pair[1])
	args := append([]string{os.Args[0]}, c.Enter...)
	args = append(append(args, c.Path), c.Args...)
	pid, err = syscall.ForkExec("/proc/self/exe", args, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2, uintptr(pair[1])},
	})
	if err != nil {
		unix.Close(pair[0])
		return 0, 0, fmt.Errorf("start child: %w", err)
	}
	return pair[0], pid, nil
}

// receiveListener takes what Enter sends. It fails if the child ends first.
func receiveListener(socket int) (listener, error) {
	defer unix.Close(socket)
	data, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	var n int
	for err := error(unix.EINTR); errors.Is(err, unix.EINTR); {
		_, n, _, _, err = unix.Recvmsg(socket, data, rights, unix.MSG_CMSG_CLOEXEC)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return -1, err
		}
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return -1, errors.Join(errors.New("the child sent no listener"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.Join(errors.New("the child sent no listener"), err)
	}
	return listener(fds[0]), nil
}
