package twonic

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
	"golang.org/x/sys/unix"
)

// dialAt connects from a port of the client that other connections may share.
func dialAt(r *rig.Rig, from netip.AddrPort, to string) net.Conn {
	r.T.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Timeout: rig.Patience, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	}}
	var conn net.Conn
	r.Must(r.Client.Do(func() (err error) {
		conn, err = d.DialContext(context.Background(), "tcp", to)
		return err
	}))
	r.Must(conn.SetDeadline(time.Now().Add(rig.Patience)))
	return conn
}

// The client's kernel gives one port to connections to several services; to
// their common server they would be one.
func TestOneClientPortCallsTwoServicesOfOneServer(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	server, err := r.Servers[0].Listen("tcp", ":8080")
	r.Must(err)
	defer server.Close()
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go io.Copy(conn, conn)
		}
	}()
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		from := netip.AddrPortFrom(netip.MustParseAddr(f.CIP), 40000)
		var conns []net.Conn
		for _, port := range []string{"81", "82", "83"} {
			to := net.JoinHostPort(f.VIP, port)
			r.Rules(fmt.Sprintf("-A -t %s -s rr", to), fmt.Sprintf("-a -t %s -r %s -m", to, net.JoinHostPort(f.RIPs[0], "8080")))
			conn := dialAt(r, from, to)
			defer conn.Close()
			conns = append(conns, conn)
		}
		for round := range 20 {
			for n, conn := range conns {
				said, heard := fmt.Sprintf("round %d of %d", round, n), make([]byte, 64)
				_, err := conn.Write([]byte(said))
				r.Must(err)
				if k, err := conn.Read(heard); err != nil || string(heard[:k]) != said {
					r.T.Fatalf("connection %d says %q and hears %q, %v", n, said, heard[:k], err)
				}
			}
		}
		for _, port := range []string{"81", "82", "83"} {
			hasRow(r, "-lnc", fmt.Sprintf("TCP * ESTABLISHED %s %s %s", from, net.JoinHostPort(f.VIP, port), net.JoinHostPort(f.RIPs[0], "8080")))
		}
	})
	r.Balanced()
	r.Stop()
}
