package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"golang.org/x/sys/unix"
)

// taps are the far ends of a director's NICs.
type taps [2]int

var tapNames = [2]string{"pub0", "prv0"}

// enter moves the calling thread to a network namespace, unless it has no name.
func enter(name string) error {
	if name == "" {
		return nil
	}
	fd, err := unix.Open("/run/netns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", name, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", name, err)
	}
	return nil
}

func openTaps() (t taps, err error) {
	for n, name := range tapNames {
		if t[n], err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return t, err
		}
		request, err := unix.NewIfreq(name)
		if err != nil {
			return t, err
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := unix.IoctlIfreq(t[n], unix.TUNSETIFF, request); err != nil {
			return t, fmt.Errorf("attach %s: %w", name, err)
		}
	}
	return t, nil
}

// take reads what has left, but for the chatter of hosts with their neighbours.
func (t taps) take(now time.Duration, left []record.Left) ([]record.Left, error) {
	var room [65536]byte
	for n, fd := range t {
		for {
			got, err := unix.Read(fd, room[:])
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				return left, fmt.Errorf("read %s: %w", tapNames[n], err)
			}
			if frame := room[headerLen:max(got, headerLen)]; !chatter(frame) {
				left = append(left, record.Left{At: now, NIC: record.NIC(n), Frame: append(record.Frame(nil), frame...)})
			}
		}
	}
	return left, nil
}

// headerLen is the length of struct virtio_net_hdr, which goes before a frame.
const headerLen = 10

// bring lets a frame arrive on NIC n, with a header before it.
func (t taps) bring(n record.NIC, headed []byte) error {
	_, err := unix.Write(t[n], headed)
	if err != nil {
		return fmt.Errorf("bring a frame to %s: %w", tapNames[n], err)
	}
	return nil
}

// chatter reports ARP, neighbour and router discovery, and multicast
// listeners' reports.
func chatter(f []byte) bool {
	if len(f) < 14 {
		return true
	}
	switch uint16(f[12])<<8 | uint16(f[13]) {
	case 0x0800:
		return false
	case 0x86dd:
		const hopByHop, icmp6 = 0, 58
		if len(f) < 55 || f[20] == hopByHop {
			return true
		}
		return f[20] == icmp6 && (f[54] >= 130 && f[54] <= 137 || f[54] == 143)
	}
	return true
}
