package route

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace held open.
type namespace struct{ handle netns.NsHandle }

// openNamespace takes a descriptor, or the caller's own namespace for 0 and less.
func openNamespace(fd int) (*namespace, error) {
	if fd > 0 {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("duplicate network namespace: %w", err)
		}
		return &namespace{netns.NsHandle(dup)}, nil
	}
	h, err := netns.Get()
	if err != nil {
		return nil, fmt.Errorf("find network namespace: %w", err)
	}
	return &namespace{h}, nil
}

func (n *namespace) close() {
	if n != nil {
		_ = n.handle.Close()
	}
}

// do runs f inside the namespace, on a thread of its own: one that cannot be
// brought back is thrown away with its goroutine.
func (n *namespace) do(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			result <- fmt.Errorf("find network namespace: %w", err)
			return
		}
		defer home.Close()
		if !home.Equal(n.handle) {
			if err := netns.Set(n.handle); err != nil {
				result <- fmt.Errorf("enter network namespace: %w", err)
				return
			}
		}
		err = f()
		if home.Equal(n.handle) || netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// requester is a netlink socket for questions and their answers.
type requester struct {
	sockets map[int]*nl.SocketHandle
	closed  atomic.Bool
}

// answerTime is how long the kernel may take for the next part of an answer.
const answerTime = 10

// newRequester opens a socket in the namespace of the calling thread.
func newRequester() (*requester, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	_ = s.SetReceiveTimeout(&unix.Timeval{Sec: answerTime})
	return &requester{sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

func (r *requester) close() {
	if r != nil && !r.closed.Swap(true) {
		r.sockets[unix.NETLINK_ROUTE].Close()
	}
}

// ask sends a request and waits for its acknowledgement.
func (r *requester) ask(req *nl.NetlinkRequest) error {
	req.Sockets = r.sockets
	return req.ExecuteIter(unix.NETLINK_ROUTE, 0, func([]byte) bool { return true })
}

// A list that changed while it was read is read again, so often and so long:
// while a long list is read, no event is looked at.
const (
	dumpTries = 5
	dumpTime  = 500 * time.Millisecond
)

// dump asks for a whole list; begin is called before each attempt. A list that
// still changes at the last attempt is taken as it is: the events about those
// changes are on their way.
func (r *requester) dump(kind int, header []byte, begin func(), each func([]byte)) error {
	var err error
	start := time.Now()
	for try := 0; try == 0 || try < dumpTries && time.Since(start) < dumpTime; try++ {
		begin()
		req := nl.NewNetlinkRequest(kind, unix.NLM_F_DUMP)
		req.AddRawData(header)
		req.Sockets = r.sockets
		err = req.ExecuteIter(unix.NETLINK_ROUTE, 0, func(b []byte) bool { each(b); return true })
		if !errors.Is(err, nl.ErrDumpInterrupted) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}
