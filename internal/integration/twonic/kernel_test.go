package twonic

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// The kernel has its own rules for the same NICs: it routes, hides the servers
// behind its own address, and refuses what lvx balances.
const kernelRules = `
table ip lvxtest {
	chain outward {
		type nat hook postrouting priority 100
		oifname "pub0" ip saddr 172.25.254.0/24 masquerade
	}
	chain inward {
		type filter hook input priority 0
		tcp dport 80 drop
		udp dport 7000 drop
	}
	chain through {
		type filter hook forward priority 0
		tcp dport 8080 drop
		tcp sport 8080 drop
	}
}
`

func TestTheKernelsRulesAndItsMasqueradingGoOn(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Echo("7")
	r.Must(r.Director.Sysctl("net.ipv4.ip_forward", "1"))
	path := filepath.Join(t.TempDir(), "rules.nft")
	r.Must(os.WriteFile(path, []byte(kernelRules), 0o600))
	r.Run(r.Director, "nft", "-f", path)
	outside, err := r.Client.Listen("tcp", net.JoinHostPort(r.CIP, "80"))
	r.Must(err)
	defer outside.Close()
	go http.Serve(outside, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		host, _, _ := net.SplitHostPort(q.RemoteAddr)
		fmt.Fprint(w, "outside sees ", host)
	}))
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	r.Rules(f.Services("-u", "7000", "rr", "7")...)
	load := r.Load(200, net.JoinHostPort(f.VIP, "80"))
	for range 5 {
		for _, server := range r.Servers {
			if said := r.Curl(server, "http://"+r.CIP+"/"); said != "outside sees "+r.Gateway {
				t.Errorf("%s outward: %q, the director is %s", server.Name, said, r.Gateway)
			}
		}
		if server, rest, _ := strings.Cut(echo(r, net.JoinHostPort(f.VIP, "7000"), "datagram"), " "); rest != "datagram" {
			t.Errorf("%s answers %q", server, rest)
		}
	}
	res := load.Stop()
	if failed := res.Failed(); failed != "" || res.Sent == 0 {
		t.Errorf("%d requests made: %s", res.Sent, failed)
	}
	r.Stop()
}

// To IPVS the director makes the packets of a service anew, so rules for what it
// only routes bend none of their ways.
func TestRulesForWhatIsRoutedAreNotForServices(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	for _, rule := range []string{"iif pub0", "iif priv0", "from " + r.CIP, "from " + r.RIPs[0]} {
		r.Run(r.Director, "ip", strings.Fields("rule add "+rule+" prohibit")...)
	}
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	answers(r, url(f.VIP, "80"), 4)
	r.Stop()
}

// What the sender's kernel left to its NIC to cut reaches generic XDP whole.
func TestANICWithFramesThatAreTooLongIsNamedOnce(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct("--mode", "generic")
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	named := func() int {
		n := 0
		for line := range strings.Lines(r.Log()) {
			if strings.Contains(line, "longer than a chunk") && strings.Contains(line, "nic=pub0") && strings.Contains(line, "ethtool -K pub0 gro off lro off") {
				n++
			}
		}
		return n
	}
	send := func() {
		c := r.Hold(r.Client, 1, net.JoinHostPort(f.VIP, "80"))[0]
		_, err := io.WriteString(c, strings.Repeat("x", 1<<14))
		r.Must(err)
	}
	send()
	r.Until("the log names the NIC", func() bool { return named() > 0 })
	send()
	r.Until("more are counted", func() bool { return infoOf(r, "steer.too-large") > 1 })
	r.Stop()
	if n := named(); n != 1 {
		t.Errorf("the NIC is named %d times", n)
	}
}
