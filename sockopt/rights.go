package sockopt

import (
	"fmt"
	"net"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// namespace is a user namespace's identity.
type namespace struct{ dev, ino uint64 }

func namespaceOf(fd int) (namespace, error) {
	var s unix.Stat_t
	err := unix.Fstat(fd, &s)
	return namespace{s.Dev, s.Ino}, err
}

// realm is the director's user namespace and those that it lies in: a
// capability in one of them counts for the director, one in a namespace that
// anybody may make for himself does not.
type realm []namespace

// realmOf finds the realm of the director that listens at socket, or of this
// process if the director's is out of sight.
func realmOf(socket string) (realm, error) {
	of := "self"
	if pid := listenerAt(socket); pid > 0 {
		of = strconv.Itoa(pid)
	}
	fd, err := unix.Open("/proc/"+of+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("look up user namespace: %w", err)
	}
	var r realm
	for {
		ns, err := namespaceOf(fd)
		if err == nil {
			r = append(r, ns)
		}
		parent, last := unix.IoctlRetInt(fd, unix.NS_GET_PARENT)
		unix.Close(fd)
		if err != nil || last != nil {
			return r, err
		}
		unix.CloseOnExec(parent)
		fd = parent
	}
}

// listenerAt returns the process that listens at a socket, 0 if unknown.
func listenerAt(socket string) (pid int) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	raw.Control(func(fd uintptr) {
		if peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	})
	return pid
}

// admits reports whether the caller has CAP_NET_ADMIN over the director.
func (r realm) admits(c *caller) bool {
	fd, err := unix.Openat(c.proc, "ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	ns, err := namespaceOf(fd)
	if err != nil || !slices.Contains(r, ns) {
		return false
	}
	has, err := c.capabilities()
	return err == nil && has>>unix.CAP_NET_ADMIN&1 == 1 && c.listener.valid(c.id)
}
