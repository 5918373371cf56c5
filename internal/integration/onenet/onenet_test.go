// Package onenet tests a director, its clients and its servers on one network.
package onenet

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

func TestMain(m *testing.M) { rig.Main(m) }

func TestAnswersGoThroughTheDirector(t *testing.T) {
	r := rig.New(t, netlab.OneNet)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		r.Rules(f.Services("-t", "80", "rr", "8080")...)
		var who []string
		for range 9 {
			said := r.Curl(r.Client, "http://"+net.JoinHostPort(f.VIP, "80")+"/")
			server, seen, _ := strings.Cut(said, " ")
			if seen != f.CIP {
				r.T.Errorf("%s sees %s", server, seen)
			}
			who = append(who, server)
		}
		if want := slices.Repeat([]string{"server3", "server2", "server1"}, 3); !slices.Equal(who, want) {
			r.T.Errorf("answers: %v", who)
		}
	})
	r.Stop()
}

// A redirect would tell a server to answer its clients past the director.
func TestNobodyIsRedirected(t *testing.T) {
	r := rig.New(t, netlab.OneNet)
	r.Nginx(t.TempDir(), "8080")
	was := r.Run(r.Director, "cat", "/proc/sys/net/ipv4/conf/all/send_redirects", "/proc/sys/net/ipv4/conf/eth0/send_redirects")
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	r.Must(r.Director.Sysctl("net.ipv4.ip_forward", "1"))
	for range 6 {
		r.Curl(r.Client, "http://"+f.VIP+"/")
	}
	for _, server := range r.Servers {
		r.Run(server, "ping", "-c", "4", "-i", "0.2", "-W", "5", f.CIP)
	}
	for _, host := range append([]*netlab.Host{r.Client}, r.Servers...) {
		if n, err := host.Snmp("Icmp", "InRedirects"); err != nil || n != 0 {
			t.Errorf("%s got %d redirects, %v", host.Name, n, err)
		}
	}
	r.Stop()
	if now := r.Run(r.Director, "cat", "/proc/sys/net/ipv4/conf/all/send_redirects", "/proc/sys/net/ipv4/conf/eth0/send_redirects"); now != was {
		t.Errorf("send_redirects was %q and is %q", was, now)
	}
}

func TestManyShortConnections(t *testing.T) {
	r := rig.New(t, netlab.OneNet)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	load := r.Load(500, net.JoinHostPort(f.VIP, "80"))
	r.Until("some requests were answered", func() bool { return strings.Contains(r.Adm("-ln"), f.RIPs[0]) })
	for range 10 {
		r.Curl(r.Client, "http://"+f.VIP+"/")
	}
	if res := load.Stop(); res.Failed() != "" || res.Sent == 0 {
		t.Errorf("%d requests made: %s", res.Sent, res.Failed())
	}
}
