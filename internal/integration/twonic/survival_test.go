package twonic

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// asks reports whether the VIP answers.
func asks(r *rig.Rig, address string) bool {
	err := r.Client.Do(func() error {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return err
		}
		c.Close()
		_, err = rig.Ask(netip.AddrPort{}, address)
		return err
	})
	return err == nil
}

func TestANICGoesDownAndUp(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	f := r.V4()
	vip := net.JoinHostPort(f.VIP, "80")
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	answers(r, url(f.VIP, "80"), 2)
	for _, end := range []struct {
		host *netlab.Host
		nic  string
	}{{r.Director, "pub0"}, {r.Director, "priv0"}, {r.Client, "eth0"}, {r.Switch, "director"}} {
		r.Must(end.host.Down(end.nic))
		if asks(r, vip) {
			t.Errorf("the VIP answers with %s of %s down", end.nic, end.host.Name)
		}
		r.Must(end.host.Up(end.nic))
		r.Until("the VIP answers again", func() bool { return asks(r, vip) })
		if got := answers(r, url(f.VIP, "80"), 4); got[0] == got[1] || got[0] != got[2] {
			t.Errorf("after %s of %s was down: %v", end.nic, end.host.Name, got)
		}
	}
	r.Stop()
}

func TestTheKernelHasItsNICsBackAfterAKill(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	f := r.V4()
	for range 3 {
		r.Direct()
		r.Rules(f.Services("-t", "80", "rr", "8080")...)
		answers(r, url(f.VIP, "80"), 4)
		r.Kill()
		// The kernel refuses connections to the service's port as to any
		// where nobody listens.
		refused := r.Client.Do(func() error {
			_, err := rig.Ask(netip.AddrPort{}, net.JoinHostPort(f.VIP, "80"))
			return err
		})
		if !errors.Is(refused, syscall.ECONNREFUSED) {
			t.Errorf("a request after the kill: %v", refused)
		}
		r.Run(r.Client, "ping", "-c", "1", "-W", "5", f.VIP)
		r.Run(r.Servers[0], "ping", "-c", "1", "-W", "5", f.DIP)
		if links := r.Run(r.Director, "ip", "link"); strings.Contains(links, "xdp") {
			t.Errorf("steering is still attached:\n%s", links)
		}
	}
}

// A third NIC leads to a network where nobody takes frames.
func TestADeadNICDoesNotSlowTheOthers(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	dead, err := r.Host("dead")
	r.Must(err, r.Link(r.Director, "priv1", dead, "eth0"), r.Director.Address("priv1", "172.25.253.1/24"))
	r.Nginx(t.TempDir(), "8080")
	r.Direct("--nic", "priv1")
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	r.Rules("-A -t "+f.VIP+":81 -s rr", "-a -t "+f.VIP+":81 -r 172.25.253.2:8080 -m")
	r.Run(r.Director, "ip", "neighbour", "replace", "172.25.253.2", "lladdr", "02:00:00:00:00:53", "dev", "priv1")
	for _, state := range []string{"nobody listens", "the peer is down"} {
		r.Part(state, func(r *rig.Rig) {
			if state == "the peer is down" {
				r.Must(dead.Down("eth0"))
			}
			flood := r.Flood(r.Client, "eth0", 20000, r.Vary(spoofed(f.VIP, 81), 1<<16))
			load := r.Load(500, net.JoinHostPort(f.VIP, "80"))
			time.Sleep(3 * time.Second)
			res := load.Stop()
			sent, err := flood.Stop()
			r.Must(err)
			r.T.Logf("%d requests beside %d frames", res.Sent, sent)
			if len(res.Failures)*20 > res.Sent || res.Sent < 1000 {
				r.T.Errorf("%d requests made: %s", res.Sent, res.Failed())
			}
		})
	}
}

// spoofed is a SYN from a network that the client does not have.
func spoofed(vip string, port uint16) rig.Segment {
	return rig.Segment{
		Src: netip.MustParseAddrPort("198.18.0.1:1024"),
		Dst: netip.AddrPortFrom(netip.MustParseAddr(vip), port),
		TCP: "S", Seq: 1,
	}
}

func TestRequestsSurviveFloods(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Echo("7")
	r.Must(r.Director.Address("pub0", "10.66.0.1/16"))
	r.Direct("--conns", "20000")
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	r.Rules(f.Services("-u", "7000", "rr", "7")...)
	fragment := spoofed(f.VIP, 7000)
	fragment.TCP, fragment.MoreFragments, fragment.Payload = "", true, strings.Repeat("x", 1464)
	stray := spoofed(f.VIP, 80)
	stray.TCP, stray.Ack = "A", 1
	stray.Src = netip.MustParseAddrPort("198.19.0.1:1024") // not those that sent SYNs
	near := spoofed(f.VIP, 80)
	near.Src = netip.MustParseAddrPort("10.66.1.0:1024")
	for _, flood := range []struct {
		name string
		next func(int) []byte
	}{
		{"spoofed SYNs", r.Vary(spoofed(f.VIP, 80), 1<<16)},
		{"fragments that never complete", r.VaryID(fragment)},
		{"ACKs without a connection", r.Vary(stray, 1<<16)},
		{"new sources on the client's network", r.Vary(near, 60000)},
	} {
		r.Part(flood.name, func(r *rig.Rig) {
			answers(r, url(f.VIP, "80"), 2)
			before := memory(r.T, r.PID())
			frames := r.Flood(r.Client, "eth0", 10000, flood.next)
			load := r.Load(500, net.JoinHostPort(f.VIP, "80"))
			time.Sleep(5 * time.Second)
			res := load.Stop()
			sent, err := frames.Stop()
			r.Must(err)
			grown := memory(r.T, r.PID()) - before
			r.T.Logf("%d requests beside %d frames, memory grew by %d KiB", res.Sent, sent, grown)
			if len(res.Failures)*100 > res.Sent || res.Sent < 2000 {
				r.T.Errorf("%d requests made: %s", res.Sent, res.Failed())
			}
			if grown > 32<<10 {
				r.T.Errorf("memory grew by %d KiB", grown)
			}
		})
	}
}

// memory returns the resident memory of a process in KiB.
func memory(t *testing.T, pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
