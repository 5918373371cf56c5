package twonic

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// disturbance is something that happens on the same NICs beside requests.
type disturbance struct {
	name string
	do   func(r *rig.Rig)
}

var disturbances = []disturbance{
	{"the director asks a server", directorAsks},
	{"the client asks the director itself", clientAsksDirector},
	{"large pings of VIP and DIP", largePings},
	{"a large datagram from a server to the director", largeDatagram},
	{"a frame for somebody else", foreignFrame},
	{"a forged server on the public side", forgedServer},
	{"the kernel routes from client to server", kernelRoutes},
	{"a server gets another MAC address", newMAC},
	{"a route to the client changes", newRoute},
	{"servers come and go", serversChange},
}

func TestRequestsGoOnBeside(t *testing.T)              { goOnBeside(t) }
func TestRequestsGoOnBesideInGenericMode(t *testing.T) { goOnBeside(t, "--mode", "generic") }

func goOnBeside(t *testing.T, args ...string) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "80", "8080", "8081")
	r.Echo("7")
	r.Direct(args...)
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	for _, d := range disturbances {
		r.Part(d.name, func(r *rig.Rig) {
			load := r.Load(500, net.JoinHostPort(f.VIP, "80"))
			start := time.Now()
			d.do(r)
			time.Sleep(time.Second - time.Since(start)) // requests after it count too
			res := load.Stop()
			if failed := res.Failed(); failed != "" {
				r.T.Error(failed)
			}
			if res.Sent < 300 {
				r.T.Errorf("only %d requests were made", res.Sent)
			}
		})
	}
}

func directorAsks(r *rig.Rig) {
	for i, rip := range r.RIPs {
		for _, port := range []string{"80", "8080"} {
			if said := r.Curl(r.Director, url(rip, port)); said != r.Servers[i].Name+" "+r.DIP {
				r.T.Errorf("%s:%s answers %q", rip, port, said)
			}
		}
	}
}

// clientAsksDirector calls what listens on the director: its own address with
// a service's port, and the VIP with a port that no service has.
func clientAsksDirector(r *rig.Rig) {
	for _, address := range []string{
		net.JoinHostPort(r.Gateway, "80"), net.JoinHostPort(r.Gateway6, "80"),
		net.JoinHostPort(r.VIP, "22"), net.JoinHostPort(r.VIP6, "22"),
	} {
		l, err := r.Director.Listen("tcp", address)
		r.Must(err)
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "director") }))
		if said := r.Curl(r.Client, "http://"+address+"/"); said != "director" {
			r.T.Errorf("%s answers %q", address, said)
		}
		r.Must(l.Close())
		refused := r.Client.Do(func() error { _, err := rig.Ask(netip.AddrPort{}, address); return err })
		if !errors.Is(refused, syscall.ECONNREFUSED) {
			r.T.Errorf("%s, where nobody listens any more: %v", address, refused)
		}
	}
}

func largePings(r *rig.Rig) {
	for _, call := range []struct {
		from *netlab.Host
		to   string
	}{
		{r.Client, r.VIP}, {r.Client, r.VIP6}, {r.Client, r.Gateway},
		{r.Servers[0], r.DIP}, {r.Servers[0], r.DIP6}, {r.Director, r.RIPs[0]}, {r.Director, r.CIP},
	} {
		r.Run(call.from, "ping", "-c", "3", "-i", "0.2", "-W", "5", "-s", "3000", call.to)
	}
}

func largeDatagram(r *rig.Rig) {
	text := strings.Repeat("y", 4000)
	c, err := r.Director.Dial(r.T.Context(), "udp", net.JoinHostPort(r.RIPs[0], "7"))
	r.Must(err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(rig.Patience))
	_, err = io.WriteString(c, text)
	r.Must(err)
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil || string(buf[:n]) != "server1 "+text {
		r.T.Errorf("%d bytes, %v", n, err)
	}
}

func foreignFrame(r *rig.Rig) {
	raw, err := r.Client.Raw("eth0")
	r.Must(err)
	defer raw.Close()
	vip := netip.AddrPortFrom(netip.MustParseAddr(r.VIP), 80)
	mine := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(r.CIP), port) }
	r.Must(
		raw.Send(r.Frame(rig.Segment{Src: mine(1111), Dst: vip, TCP: "S", MAC: net.HardwareAddr{2, 0, 0, 0, 0xfe, 1}})),
		raw.Send(r.Frame(rig.Segment{Src: mine(2222), Dst: vip, TCP: "S"})))
	answered := seen(r, raw, func(f []byte) bool { return tcpFrom(f, vip) && dstPort(f) == 2222 }, func(f []byte) bool {
		return tcpFrom(f, vip) && dstPort(f) == 1111
	})
	if answered {
		r.T.Error("a frame for another MAC address was answered")
	}
}

// seen receives until the expected frame has come and reports whether the
// unwanted one came before it, or within a short while after.
func seen(r *rig.Rig, raw *netlab.Raw, expected, unwanted func([]byte) bool) bool {
	r.T.Helper()
	buf := make([]byte, 1<<16)
	deadline, came := time.Now().Add(rig.Patience), false
	for {
		n, err := raw.Receive(buf, deadline)
		switch {
		case err != nil && came:
			return false
		case err != nil:
			r.T.Fatalf("the expected frame did not come: %v", err)
		case unwanted(buf[:n]):
			return true
		case expected(buf[:n]) && !came:
			came, deadline = true, time.Now().Add(200*time.Millisecond)
		}
	}
}

// tcpFrom reports whether f is an IPv4 TCP frame from an endpoint.
func tcpFrom(f []byte, from netip.AddrPort) bool {
	a := from.Addr().As4()
	return len(f) >= 54 && f[12] == 8 && f[13] == 0 && f[23] == 6 && bytes.Equal(f[26:30], a[:]) &&
		uint16(f[34])<<8|uint16(f[35]) == from.Port()
}

func dstPort(f []byte) uint16 { return uint16(f[36])<<8 | uint16(f[37]) }

func forgedServer(r *rig.Rig) {
	vip := netip.AddrPortFrom(netip.MustParseAddr(r.VIP), 80)
	raw, err := r.Client.Raw("eth0")
	r.Must(err)
	defer raw.Close()
	c := r.Hold(r.Client, 1, vip.String())[0]
	to := netip.MustParseAddrPort(c.LocalAddr().String())
	for _, rip := range r.RIPs {
		from := netip.AddrPortFrom(netip.MustParseAddr(rip), 8080)
		r.Must(raw.Send(r.Frame(rig.Segment{Src: from, Dst: to, TCP: "PA", Payload: "forged"})))
	}
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: lvx\r\n\r\n")
	r.Must(err)
	answered := func(f []byte) bool {
		return tcpFrom(f, vip) && dstPort(f) == to.Port() && bytes.Contains(f, []byte("200 OK"))
	}
	if seen(r, raw, answered, func(f []byte) bool { return tcpFrom(f, vip) && bytes.Contains(f, []byte("forged")) }) {
		r.T.Error("a forged server's segment left as the VIP's")
	}
}

func kernelRoutes(r *rig.Rig) {
	r.Must(r.Director.Sysctl("net.ipv4.ip_forward", "1"))
	for i, rip := range r.RIPs {
		for _, port := range []string{"80", "8080"} {
			// From ports of its own: IPVS, and so the director, takes the answer
			// for that of a connection from the same client port.
			said := r.Run(r.Client, "curl", "-gsS", "--max-time", "10", "--local-port", "20000-20100", url(rip, port))
			if strings.TrimSpace(said) != r.Servers[i].Name+" "+r.CIP {
				r.T.Errorf("%s:%s answers %q", rip, port, said)
			}
		}
	}
	r.Must(r.Director.Sysctl("net.ipv4.ip_forward", "0"))
}

func newMAC(r *rig.Rig) {
	server := r.Servers[0]
	r.Must(
		server.Sysctl("net.ipv4.conf.eth0.arp_notify", "1"),
		server.SetMAC("eth0", net.HardwareAddr{2, 0, 0, 0, 0x25, byte(time.Now().UnixNano())}))
	answers(r, url(r.VIP, "80"), 4)
}

func newRoute(r *rig.Rig) {
	r.Must(
		r.Client.Address("eth0", "198.18.0.1/32"),
		r.Client.Address("eth0", "172.25.8.12/24"),
		r.Director.Route("198.18.0.0/24", r.CIP, "pub0"))
	ask := func() {
		said := r.Run(r.Client, "curl", "-gsS", "--max-time", "10", "--interface", "198.18.0.1", url(r.VIP, "80"))
		if !strings.HasSuffix(strings.TrimSpace(said), " 198.18.0.1") {
			r.T.Errorf("answer %q", said)
		}
	}
	ask()
	r.Must(r.Director.Route("198.18.0.0/24", "172.25.8.12", "pub0"))
	ask()
	r.Must(r.Director.RemoveRoute("198.18.0.0/24", "172.25.8.12", "pub0"),
		r.Client.RemoveAddress("eth0", "198.18.0.1/32"),
		r.Client.RemoveAddress("eth0", "172.25.8.12/24"))
}

func serversChange(r *rig.Rig) {
	vip, third := r.VIP+":80", r.RIPs[0]+":8081"
	for range 3 {
		r.Adm("-a -t " + vip + " -r " + third + " -m")
		answers(r, url(r.VIP, "80"), 3)
		r.Adm("-e -t " + vip + " -r " + third + " -m -w 0")
		r.Until("the server has no connection under way", func() bool { return idle(r, third) })
		r.Adm("-d -t " + vip + " -r " + third)
	}
}

// idle reports whether both ends of all connections of a server have closed
// them: one that begins or ends counts as inactive, and is lost with its server.
func idle(r *rig.Rig, server string) bool {
	for line := range strings.Lines(r.Adm("-lnc")) {
		if f := strings.Fields(line); len(f) == 6 && f[5] == server && f[2] != "TIME_WAIT" {
			return false
		}
	}
	return true
}

func TestOnlyTheDeletedServersRequestsFail(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	f := r.V4()
	vip := net.JoinHostPort(f.VIP, "80")
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	load := r.Load(500, vip)
	answers(r, url(f.VIP, "80"), 10)
	r.Adm("-d -t " + vip + " -r " + f.RIPs[0] + ":8080")
	deleted := time.Now()
	if got := answers(r, url(f.VIP, "80"), 10); slices.Contains(got, "server1") {
		t.Errorf("a deleted server answers: %v", got)
	}
	res := load.Stop()
	for _, failure := range res.Failures {
		if failure.Began.After(deleted) {
			t.Errorf("a request that began %v after the deletion failed: %v", failure.Began.Sub(deleted), failure.Err)
		}
	}
	t.Logf("%d of %d requests were under way with the deleted server", len(res.Failures), res.Sent)
}
