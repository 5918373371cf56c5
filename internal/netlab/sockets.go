package netlab

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync"
)

// Listen opens a listening socket of the host.
func (h *Host) Listen(network, address string) (l net.Listener, err error) {
	err = h.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	return l, err
}

// ListenPacket opens a datagram socket of the host.
func (h *Host) ListenPacket(network, address string) (c net.PacketConn, err error) {
	err = h.Do(func() (err error) {
		c, err = net.ListenPacket(network, address)
		return err
	})
	return c, err
}

// Dial connects from the host. The address is numeric.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return h.DialFrom(ctx, network, netip.Addr{}, address)
}

// DialFrom connects from one of the host's addresses; the zero Addr leaves the
// choice to the kernel.
func (h *Host) DialFrom(ctx context.Context, network string, from netip.Addr, address string) (c net.Conn, err error) {
	var d net.Dialer
	if from.IsValid() {
		d.LocalAddr = localAddress(network, from)
	}
	err = h.Do(func() (err error) {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

func localAddress(network string, a netip.Addr) net.Addr {
	if network[0] == 'u' {
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
}

// lockedBuffer is written by a child's two outputs at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
