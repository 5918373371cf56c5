package route

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Announce tells the hosts of a link that addresses are here now: by
// gratuitous ARP requests and replies, or unsolicited neighbour advertisements.
func (m *Mirror) Announce(ifindex int, addresses ...netip.Addr) error {
	l, err := m.Link(ifindex)
	if err != nil {
		return fmt.Errorf("announce %s: %w", addresses, err)
	}
	// A host that is a router must say so, or it loses its place in the lists
	// of default routers (RFC 4861 section 7.2.5).
	router, _ := m.Forwarding(l.Name, true)
	var frames [][]byte
	for _, a := range addresses {
		switch a = a.Unmap(); {
		case !l.Ethernet || l.MAC == [6]byte{} || !a.IsValid():
			return fmt.Errorf("announce %s on %s: %w", a, l.Name, ErrInvalid)
		case a.Is6():
			frames = append(frames, advertisement(l.MAC, a, router))
		default:
			frames = append(frames, gratuitousARP(l.MAC, a, arpRequest), gratuitousARP(l.MAC, a, arpReply))
		}
	}
	if err = m.ns.do(func() error { return send(ifindex, frames) }); err != nil {
		return fmt.Errorf("announce %s on %s: %w", addresses, l.Name, err)
	}
	return nil
}

// send transmits Ethernet frames by a packet socket that receives nothing. It
// is one for all: the kernel takes 20 ms to close it.
func send(ifindex int, frames [][]byte) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open packet socket: %w", err)
	}
	defer unix.Close(fd)
	for _, f := range frames {
		if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: ifindex, Halen: 6, Addr: [8]byte(f[:8])}); err != nil {
			return fmt.Errorf("send frame: %w", err)
		}
	}
	return nil
}

const (
	arpRequest = 1
	arpReply   = 2
)

// gratuitousARP is an ARP packet in which a asks for, or answers, itself.
func gratuitousARP(mac [6]byte, a netip.Addr, op uint16) []byte {
	f := ethernet([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, unix.ETH_P_ARP)
	f = append(f, 0, 1, 8, 0, 6, 4)
	f = binary.BigEndian.AppendUint16(f, op)
	f = append(append(f, mac[:]...), a.AsSlice()...)
	if op == arpRequest {
		mac = [6]byte{}
	}
	return append(append(f, mac[:]...), a.AsSlice()...)
}

// advertisement is a neighbour advertisement nobody asked for, with the
// override flag (RFC 4861 section 7.2.6).
func advertisement(mac [6]byte, a netip.Addr, router bool) []byte {
	const length, nextICMP, typeAdvertisement = 32, unix.IPPROTO_ICMPV6, 136
	all := netip.MustParseAddr("ff02::1")
	body := []byte{typeAdvertisement, 0, 0, 0, 0x20, 0, 0, 0}
	if router {
		body[4] |= 0x80
	}
	body = append(body, a.AsSlice()...)
	body = append(append(body, 2, 1), mac[:]...) // target link-layer address
	f := ethernet([6]byte{0x33, 0x33, 0, 0, 0, 1}, mac, unix.ETH_P_IPV6)
	f = append(f, 0x60, 0, 0, 0, 0, length, nextICMP, 255)
	addresses := append(a.AsSlice(), all.AsSlice()...)
	binary.BigEndian.PutUint16(body[2:], ^onesSum(length+nextICMP, append(addresses, body...)))
	return append(append(append(f, a.AsSlice()...), all.AsSlice()...), body...)
}

func ethernet(dst, src [6]byte, kind uint16) []byte {
	f := make([]byte, 0, 86)
	f = append(append(f, dst[:]...), src[:]...)
	return binary.BigEndian.AppendUint16(f, kind)
}

// onesSum is the Internet checksum's sum over an even number of bytes.
func onesSum(sum uint32, b []byte) uint16 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
