package twonic

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// drain starts `lvx drain` of the first server, and returns where it prints.
func drain(r *rig.Rig, f rig.Family, args ...string) (p *netlab.Process, prints func() string) {
	r.T.Helper()
	path := filepath.Join(r.T.TempDir(), "drain")
	out, err := os.Create(path)
	r.Must(err)
	defer out.Close()
	cmd := exec.Command(rig.Executable(r.T), append([]string{
		"drain", "--socket", r.Socket, "-t", net.JoinHostPort(f.VIP, "80"), "-r", net.JoinHostPort(f.RIPs[0], "8080"),
	}, args...)...)
	cmd.Stdout, cmd.Stderr = out, out
	p, err = r.Director.Start(cmd)
	r.Must(err)
	return p, func() string {
		text, err := os.ReadFile(path)
		r.Must(err)
		return string(text)
	}
}

func TestADrainEndsWithTheLastConnection(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	conns := r.Hold(r.Client, 4, net.JoinHostPort(f.VIP, "80"))
	p, prints := drain(r, f)
	r.Until("what is left is shown", func() bool { return strings.Contains(prints(), "has 2 active and 0 inactive connections\n") })
	hasRow(r, "-ln", fmt.Sprintf("-> %s:8080 Masq 0 2 0", f.RIPs[0]))
	for range 4 {
		if got := r.Curl(r.Client, url(f.VIP, "80")); !strings.Contains(got, "server2") {
			t.Errorf("%q answers", got)
		}
	}
	if !p.Running() {
		t.Errorf("the drain has ended with connections left:\n%s", prints())
	}
	for _, c := range conns {
		c.(*net.TCPConn).SetLinger(0) // a reset: no TIME_WAIT of two minutes
		c.Close()
	}
	r.Must(p.Wait())
	if !strings.HasSuffix(prints(), "has no connections any more\n") {
		t.Errorf("it says:\n%s", prints())
	}
	r.Stop()
}

func TestADrainsDeadlineEndsWhatIsLeft(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		l, err := r.Servers[0].Listen("tcp", net.JoinHostPort(f.RIPs[0], "8080"))
		r.Must(err)
		defer l.Close()
		r.Rules(f.Services("-t", "80", "rr", "8080")[:2]...)
		quiet, busy := join(r, f, "80", l), join(r, f, "80", l)
		talking := make(chan struct{})
		go func() {
			defer close(talking)
			for {
				if _, err := busy.server.Write([]byte("hello")); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
		p, prints := drain(r, f, "--deadline", "1s")
		r.Must(p.Wait())
		wantReset(r, "the quiet client", quiet.client)
		wantReset(r, "the quiet server", quiet.server)
		select {
		case <-talking:
		case <-time.After(rig.Patience):
			r.T.Error("the busy server still talks")
		}
		if text := prints(); !strings.Contains(text, "they end in") {
			r.T.Errorf("it says:\n%s", text)
		}
		hasRow(r, "-ln", fmt.Sprintf("-> %s Masq 0 0 0", net.JoinHostPort(f.RIPs[0], "8080")))
	})
	r.Stop()
}

func TestADrainThatIsInterruptedEndsNothing(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")[:2]...)
	r.Hold(r.Client, 2, net.JoinHostPort(f.VIP, "80"))
	p, prints := drain(r, f, "--deadline", "1h")
	r.Until("what is left is shown", func() bool { return strings.Contains(prints(), "has 2 active") })
	if p.Stop() == nil || !strings.Contains(prints(), "interrupted") {
		t.Errorf("it says:\n%s", prints())
	}
	hasRow(r, "-ln", fmt.Sprintf("-> %s:8080 Masq 0 2 0", f.RIPs[0]))
	p, prints = drain(r, f)
	r.Until("what is left is shown", func() bool { return strings.Contains(prints(), "has 2 active") })
	r.Adm(fmt.Sprintf("-e -t %s:80 -r %s:8080 -m -w 1", f.VIP, f.RIPs[0]))
	if p.Wait() == nil || !strings.Contains(prints(), "takes connections again") {
		t.Errorf("it says:\n%s", prints())
	}
	r.Stop()
}
