package twonic

import (
	"fmt"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

func TestSysctlsTakeEffectWhileTrafficGoesOn(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct("--sysctl", "net.ipv4.vs.drop_entry=1")
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	if got := r.Adm("sysctl drop_entry conn_reuse_mode"); got != "net.ipv4.vs.drop_entry = 1\nnet.ipv4.vs.conn_reuse_mode = 1\n" {
		t.Errorf("at the start:\n%s", got)
	}
	connsOf := func(rip string) int { return strings.Count(r.Adm("-lnc"), " "+rip+":8080\n") }
	for range 4 {
		r.Curl(r.Client, url(f.VIP, "80"))
	}
	gone := fmt.Sprintf("-d -t %s:80 -r %s:8080", f.VIP, f.RIPs[1])
	r.Adm(gone)
	if n := connsOf(f.RIPs[1]); n != 2 {
		t.Errorf("%d connections of the deleted server are kept:\n%s", n, r.Adm("-lnc"))
	}
	r.Adm(fmt.Sprintf("-a -t %s:80 -r %s:8080 -m", f.VIP, f.RIPs[1]))
	r.Adm("sysctl expire_nodest_conn=1")
	r.Adm(gone)
	r.Until("the deleted server's connections are gone", func() bool { return connsOf(f.RIPs[1]) == 0 })
	if n := connsOf(f.RIPs[0]); n != 2 {
		t.Errorf("%d connections of the other server are left", n)
	}
	if out, err := r.TryAdm("", "sysctl conntrack=1"); err == nil || !strings.Contains(out, "netfilter does not see") {
		t.Errorf("conntrack=1: %v\n%s", err, out)
	}
	r.Adm("-A --sctp-service " + f.VIP + ":80 -s rr")
	hasRow(r, "-ln", fmt.Sprintf("SCTP %s:80 rr", f.VIP))
	r.Stop()
}
