package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// socket is a listening unix socket together with the lock that makes its
// path ours.
type socket struct {
	*net.UnixListener
	lock *os.File
}

// maxPath is what struct sockaddr_un has room for.
const maxPath = 107

// openSocket takes the lock beside path, removes what a crashed director left
// at path, and listens there. The lock file stays: to remove it would let two
// directors hold locks on two files of one name.
func openSocket(path string) (*socket, error) {
	if len(path) > maxPath {
		return nil, fmt.Errorf("listen at %s: a socket's path has at most %d bytes", path, maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make folder of socket: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	listener, err := listenLocked(path, lock)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &socket{listener, lock}, nil
}

func listenLocked(path string, lock *os.File) (*net.UnixListener, error) {
	err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("listen at %s: %w", path, ErrRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	switch stale, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at socket: %w", err)
	case stale.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("listen at %s: %w", path, fs.ErrExist)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove stale socket: %w", err)
		}
	}
	// The mask belongs to the whole process; for a moment files made by
	// others are stricter than they asked for, never laxer.
	defer unix.Umask(unix.Umask(0o077))
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, nil
}

// Close removes the socket, then lets go of the lock.
func (s *socket) Close() error {
	return errors.Join(s.UnixListener.Close(), s.lock.Close())
}

// peerUID asks the kernel who is at the other end.
func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("look at peer: %w", err)
	}
	var peer *unix.Ucred
	var refused error
	err = raw.Control(func(fd uintptr) {
		peer, refused = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, refused); err != nil {
		return 0, fmt.Errorf("look at peer: %w", err)
	}
	return peer.Uid, nil
}
