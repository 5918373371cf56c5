package xsk

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/lvx-lb/lvx/nic"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const udpAt, sumAt, payload = 14 + 20, 6, "finish me"

// unfinished is a UDP packet from 10.9.9.2 to port 9 of 10.9.9.1, with the sum
// of its pseudo header for a checksum.
func unfinished(p *nicPair) []byte {
	b := make([]byte, udpAt+8+len(payload))
	copy(b, p.far.Attrs().HardwareAddr)
	copy(b[6:], p.near.Attrs().HardwareAddr)
	copy(b[12:], []byte{8, 0, 0x45, 0, 0, byte(len(b) - 14), 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 9, 9, 2, 10, 9, 9, 1})
	binary.BigEndian.PutUint16(b[24:], ^words(b[14:34]))
	n := byte(8 + len(payload))
	copy(b[udpAt:], []byte{0, 7, 0, 9, 0, n, 0, 0})
	copy(b[udpAt+8:], payload)
	binary.BigEndian.PutUint16(b[udpAt+sumAt:], words(append(b[26:34:34], 0, 17, 0, n)))
	return b
}

func words(b []byte) uint16 {
	sum := 0
	for i, x := range b {
		sum += int(x) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// TestALeftChecksumIsFinished where the device cannot, and reaches a socket
// either way.
func TestALeftChecksumIsFinished(t *testing.T) {
	inLab(t, func() {
		p := newPair(t, "a")
		address, err := netlink.ParseAddr("10.9.9.1/24")
		must(t, err)
		must(t, netlink.AddrAdd(p.far, address))
		u, err := NewPool(chunks, 4096, -1)
		must(t, err)
		defer u.Close()
		u.Finishes = true
		s, err := Open(u, smallRings(p))
		must(t, err)
		defer s.Close()
		if !u.Finishes {
			t.Skip("this kernel finishes no checksums for AF_XDP")
		}
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.9.9.1:9")))
		must(t, err)
		defer conn.Close()
		tap, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(htons(unix.ETH_P_IP)))
		must(t, err)
		defer unix.Close(tap)
		must(t, unix.Bind(tap, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: p.far.Attrs().Index}))
		must(t, unix.SetsockoptTimeval(tap, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 30}))

		frame := unfinished(p)
		pseudo := binary.BigEndian.Uint16(frame[udpAt+sumAt:])
		right := ^words(append(append([]byte(nil), frame[26:34]...), append([]byte{0, 17, 0, 8 + byte(len(payload))}, zeroed(frame[udpAt:])...)...))
		for i, want := range []uint16{pseudo, right} {
			if i == 1 {
				const set = 0x17 // ETHTOOL_STXCSUM
				v := ethtoolValue{cmd: set}
				must(t, ethtool("a", unsafe.Pointer(&v)))
			}
			f := nic.Frame{Addr: u.Chunks()[i] + nic.Headroom, Len: uint32(len(frame))}
			copy(u.Pool.Data(f), frame)
			u.Pool.LeaveChecksum(&f, udpAt, sumAt)
			s.Transmit([]nic.Frame{f})
			s.Kick()
			var b [256]byte
			_, _, err := unix.Recvfrom(tap, b[:], 0)
			for err == unix.EINTR { // by a signal of Go's own, as there is a timeout
				_, _, err = unix.Recvfrom(tap, b[:], 0)
			}
			must(t, err)
			if got := binary.BigEndian.Uint16(b[udpAt+sumAt:]); got != want {
				t.Errorf("frame %d has checksum %#x, want %#x", i, got, want)
			}
			conn.SetReadDeadline(time.Now().Add(30 * time.Second))
			n, err := conn.Read(b[:])
			if must(t, err); string(b[:n]) != payload {
				t.Errorf("frame %d brought %q", i, b[:n])
			}
		}
		if st := s.Stats(); st.TxInvalid != 0 {
			t.Errorf("losses: %+v", st)
		}
	})
}

// zeroed is UDP without its checksum.
func zeroed(b []byte) []byte {
	c := append([]byte(nil), b...)
	c[sumAt], c[sumAt+1] = 0, 0
	return c
}
