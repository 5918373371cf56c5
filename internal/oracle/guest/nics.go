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

// enter moves the calling thread to a network namespace.
func enter(name string) error {
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

// bring lets a frame arrive on NIC n.
func (t taps) bring(n record.NIC, f record.Frame) error {
	_, err := unix.Write(t[n], withHeader(f))
	if err != nil {
		return fmt.Errorf("bring a frame to %s: %w", tapNames[n], err)
	}
	return nil
}

// withHeader puts a header before a frame. Of an ICMPv6 error it says that the
// checksum is still to be completed: the kernel verifies one of them without
// the pseudo header where the NIC has not, and would drop every right one. So
// does ip_vs_ftp to what connection tracking has verified in the NIC's place.
func withHeader(f record.Frame) []byte {
	b := append(make([]byte, headerLen), f...)
	offset, ok := unverified(f)
	if !ok {
		return b
	}
	const needsChecksum, start = 1, 54
	b[0], b[6], b[8] = needsChecksum, start, byte(offset)
	sum := uint32(len(f)-start) + uint32(f[20])
	for at := 22; at < start; at += 2 {
		sum += uint32(f[at])<<8 | uint32(f[at+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	b[headerLen+start+offset], b[headerLen+start+offset+1] = byte(sum>>8), byte(sum)
	return b
}

// unverified returns where behind the IPv6 header the checksum of an ICMPv6
// error is, or of a control connection of FTP.
func unverified(f record.Frame) (offset int, ok bool) {
	const icmp6, tcp, start = 58, 6, 54
	if len(f) < 62 || f[12] != 0x86 {
		return 0, false
	}
	switch f[20] {
	case icmp6:
		return 2, f[start] < 128
	case tcp:
		return 16, len(f) >= start+20 && (f[start] == 0 && f[start+1] == 21 || f[start+2] == 0 && f[start+3] == 21)
	}
	return 0, false
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
