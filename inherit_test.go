package lvx

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/netlab"
	"github.com/lvx-lb/lvx/service"
	"golang.org/x/sys/unix"
)

// duplicated is what another process would have been handed.
func duplicated(t *testing.T, f FDs) FDs {
	dup := func(fd int) int {
		n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	each := func(m map[string]int) map[string]int {
		out := maps.Clone(m)
		for k, fd := range out {
			out[k] = dup(fd)
		}
		return out
	}
	g := FDs{UMEM: dup(f.UMEM), Chunks: f.Chunks, Finishes: f.Finishes, Mode: f.Mode, Sockets: map[string][]int{}, Steering: f.Steering}
	for nic, fds := range f.Sockets {
		for _, fd := range fds {
			g.Sockets[nic] = append(g.Sockets[nic], dup(fd))
		}
	}
	g.Steering.Program = dup(f.Steering.Program)
	g.Steering.Maps, g.Steering.Tables = each(f.Steering.Maps), each(f.Steering.Tables)
	g.Steering.Attached = maps.Clone(f.Steering.Attached)
	for nic, fd := range g.Steering.Attached {
		g.Steering.Attached[nic] = dup(fd)
	}
	return g
}

// hello answers every connection with its name.
func hello(t *testing.T, host *netlab.Host, address string) {
	l, err := host.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
}

// The kernel keeps sockets, frames and steering of a director that crashed as
// long as somebody holds their descriptors: another one goes on with them.
func TestADirectorGoesOnWithGivenDescriptors(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("AF_XDP needs root")
	}
	n, err := netlab.TwoNIC()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	hello(t, n.Servers[0], n.RIPs[0]+":8080")
	cfg := Config{
		NICs: []string{n.Public, n.Private}, AddVIPs: true, Conns: 1000, Rings: 512, Name: "lvxfd",
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	var crashed, heir *Director
	must(t, n.Director.Do(func() (err error) { crashed, err = New(cfg); return err }))
	given := duplicated(t, crashed.FDs())
	ready := make(chan struct{})
	cfg.FDs, cfg.Ready = &given, func() { close(ready) }
	must(t, n.Director.Do(func() (err error) { heir, err = New(cfg); return err }))
	web := service.Service{Key: service.Key{Protocol: service.TCP, Address: netip.MustParseAddrPort(n.VIP + ":80")}, Scheduler: "rr"}
	must(t, heir.Apply(t.Context(), []service.Edit{
		{Op: service.AddService, Service: web},
		{Op: service.AddServer, Service: web, Server: service.Server{Address: netip.MustParseAddrPort(n.RIPs[0] + ":8080"), Weight: 1}},
	}))
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- n.Director.Do(func() error { return heir.Run(ctx) }) }()
	select {
	case <-ready:
	case err := <-ran:
		t.Fatal(err)
	}
	for range 200 {
		patience, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		c, err := n.Client.Dial(patience, "tcp", n.VIP+":80")
		must(t, err)
		said, err := io.ReadAll(c)
		must(t, err)
		if c.Close(); string(said) != "hello" {
			t.Fatalf("the server says %q", said)
		}
		cancel()
	}
	info, err := heir.Info(ctx)
	must(t, err)
	if c := info.Counters; c["received"]+c["originated"] != c["transmitted"]+c["dropped"]+c["passed-up"]+c["held"] || c["new-conns"] != 200 {
		t.Errorf("counters: %v", c)
	}
	stop()
	must(t, <-ran)
	must(t, heir.Close())
	must(t, crashed.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
