package netlab

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Raw sends and receives whole Ethernet frames at a NIC, past the host's IP
// stack. It belongs to one goroutine.
type Raw struct {
	fd int
	to unix.SockaddrLinklayer
}

// Raw opens nic for whole frames. The host's own stack sees them as well.
func (h *Host) Raw(nic string) (*Raw, error) {
	attrs, err := h.NIC(nic)
	if err != nil {
		return nil, err
	}
	all := uint16(unix.ETH_P_ALL)
	r := &Raw{to: unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: attrs.Index}}
	err = h.Do(func() (err error) {
		if r.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(r.to.Protocol)); err != nil {
			return err
		}
		return errors.Join(
			unix.Bind(r.fd, &r.to),
			unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
			unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
	})
	if err != nil {
		return nil, fmt.Errorf("open %s of %s: %w", nic, h.Name, err)
	}
	return r, nil
}

// Send sends one frame.
func (r *Raw) Send(frame []byte) error {
	for {
		err := unix.Sendto(r.fd, frame, 0, &r.to)
		if err != unix.ENOBUFS && err != unix.EINTR {
			return err
		}
	}
}

// Receive waits until the deadline for a frame and copies it into buf. It
// returns os.ErrDeadlineExceeded when none came.
func (r *Raw) Receive(buf []byte, deadline time.Time) (int, error) {
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		timeout := unix.NsecToTimeval(int64(left) + int64(time.Millisecond))
		if err := unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
			return 0, err
		}
		n, _, err := unix.Recvfrom(r.fd, buf, 0)
		if err != unix.EAGAIN && err != unix.EINTR {
			return n, err
		}
	}
}

// Close closes the socket.
func (r *Raw) Close() error { return unix.Close(r.fd) }
