package twonic

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
	"golang.org/x/sys/unix"
)

// pair is a connection through the director, from either end.
type pair struct{ client, server net.Conn }

// join opens a connection to the first server and lets both ends speak.
func join(r *rig.Rig, f rig.Family, port string, l net.Listener) pair {
	r.T.Helper()
	c, err := r.Client.Dial(r.T.Context(), "tcp", net.JoinHostPort(f.VIP, port))
	r.Must(err)
	s, err := l.Accept()
	r.Must(err)
	r.T.Cleanup(func() { c.Close(); s.Close() })
	p := pair{c, s}
	p.talk(r)
	return p
}

// talk says a word each way.
func (p pair) talk(r *rig.Rig) {
	r.T.Helper()
	for _, way := range [][2]net.Conn{{p.client, p.server}, {p.server, p.client}} {
		_, err := way[0].Write([]byte("hello"))
		r.Must(err)
		way[1].SetReadDeadline(time.Now().Add(rig.Patience))
		_, err = io.ReadFull(way[1], make([]byte, 5))
		r.Must(err)
	}
}

// forget closes one end as a crash does: the other one hears nothing.
func forget(r *rig.Rig, c net.Conn) {
	r.T.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	r.Must(err)
	var set error
	r.Must(raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_REPAIR, 1) }))
	r.Must(set, c.Close())
}

// wantReset waits until an end is reset.
func wantReset(r *rig.Rig, who string, c net.Conn) {
	r.T.Helper()
	c.SetReadDeadline(time.Now().Add(rig.Patience))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		r.T.Errorf("%s: %v, want a reset", who, err)
	}
}

func infoOf(r *rig.Rig, counter string) (n int) {
	for line := range strings.Lines(r.Info()) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == counter {
			fmt.Sscan(words[1], &n)
		}
	}
	return n
}

// quiet opens the service of these tests, without keepalives of its ends.
func quiet(r *rig.Rig, f rig.Family, port string) net.Listener {
	r.T.Helper()
	l, err := r.Servers[0].Listen("tcp", net.JoinHostPort(f.RIPs[0], port))
	r.Must(err)
	r.T.Cleanup(func() { l.Close() })
	r.Rules(f.Services("-t", port, "rr", port)[:2]...)
	return l
}

func TestAnIdleConnectionStaysIfBothEndsKnowIt(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	r.Adm("--set 1 0 0")
	for n, stamps := range []string{"1", "0"} {
		r.Must(r.Client.Sysctl("net.ipv4.tcp_timestamps", stamps))
		r.Families(func(r *rig.Rig, f rig.Family) {
			port := fmt.Sprint(9000 + n)
			p := join(r, f, port, quiet(r, f, port))
			p.client.(*net.TCPConn).SetKeepAlive(false)
			p.server.(*net.TCPConn).SetKeepAlive(false)
			kept := infoOf(r, "kept-conns")
			r.Until("both ends are asked three times", func() bool { return infoOf(r, "kept-conns") >= kept+3 })
			p.talk(r)
		})
	}
	if n := infoOf(r, "expired-conns"); n != 0 {
		t.Errorf("%d connections were given up", n)
	}
	r.Stop()
}

func TestAnIdleConnectionIsResetIfOneEndHasForgottenIt(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	r.Adm("--set 1 0 0")
	r.Families(func(r *rig.Rig, f rig.Family) {
		l := quiet(r, f, "9000")
		p := join(r, f, "9000", l)
		forget(r, p.server)
		wantReset(r, "the client of a server that crashed", p.client)
		p = join(r, f, "9000", l)
		forget(r, p.client)
		wantReset(r, "the server of a client that crashed", p.server)
	})
	f := r.V4()
	l := quiet(r, f, "9001")
	p := join(r, f, "9001", l)
	nic, _, _ := strings.Cut(r.Run(r.Servers[0], "ip", "-o", "route", "get", r.DIP), "src")
	r.Must(r.Servers[0].Down(strings.Fields(nic)[2]))
	wantReset(r, "the client of a server that is switched off", p.client)
	r.Until("no connection is left", func() bool { return !strings.Contains(r.Adm("-lnc"), "ESTABLISHED") })
	r.Stop()
}

func TestIdleConnectionsAreResetOnDemand(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct("--idle", "reset")
	r.Adm("--set 3 0 0") // both ends have spoken by then
	r.Families(func(r *rig.Rig, f rig.Family) {
		p := join(r, f, "9000", quiet(r, f, "9000"))
		wantReset(r, "the server", p.server)
		wantReset(r, "the client", p.client)
	})
	r.Stop()
}
