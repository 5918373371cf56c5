package twonic

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

func TestAClosedServerPortIsReportedByTheVIP(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		r.Rules(f.Services("-u", "7000", "rr", "7")...)
		r.Until("the client hears that nobody listens", func() bool {
			c, err := r.Client.Dial(r.T.Context(), "udp", net.JoinHostPort(f.VIP, "7000"))
			r.Must(err)
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Second))
			_, err = io.WriteString(c, "anybody?")
			r.Must(err)
			_, err = c.Read(make([]byte, 10))
			return errors.Is(err, syscall.ECONNREFUSED)
		})
	})
}

// The servers' network takes smaller packets than the client's, so the client
// has to hear of it from the VIP.
func TestPathMTUIsFoundThroughTheVIP(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Must(r.Director.SetMTU("priv0", 1400))
	r.Iperf()
	r.Direct()
	vip := net.JoinHostPort(r.VIP, "5201")
	r.Rules("-A -t "+vip+" -s rr", "-a -t "+vip+" -r "+r.RIPs[0]+":5201 -m")
	before, err := r.Client.Snmp("Icmp", "InDestUnreachs")
	r.Must(err)
	r.Run(r.Client, "iperf3", "-c", r.VIP, "-n", "5M")
	after, err := r.Client.Snmp("Icmp", "InDestUnreachs")
	r.Must(err)
	if after == before {
		t.Error("the client was not told of the smaller MTU")
	}
}

func TestTracerouteSeesTheVIP(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	answers(r, url(f.VIP, "80"), 2)
	before, err := r.Client.Snmp("Icmp", "InTimeExcds")
	r.Must(err)
	r.Until("the client hears that the hop limit was too small", func() bool {
		r.Must(r.Client.Do(func() error {
			d := net.Dialer{Timeout: 300 * time.Millisecond, Control: func(_, _ string, c syscall.RawConn) error {
				var err error
				return errors.Join(c.Control(func(fd uintptr) {
					err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, 1)
				}), err)
			}}
			if c, err := d.Dial("tcp", net.JoinHostPort(f.VIP, "80")); err == nil {
				c.Close()
				return errors.New("a packet with TTL 1 was forwarded")
			}
			return nil
		}))
		after, err := r.Client.Snmp("Icmp", "InTimeExcds")
		return err == nil && after > before
	})
}

func TestAServerThatAnswersElsewhereIsNamed(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	r.Must(r.Servers[0].RemoveRoute("default", r.DIP, "eth0"))
	r.Rules("-A -t "+r.VIP+":80 -s rr", "-a -t "+r.VIP+":80 -r "+r.RIPs[0]+":8080 -m")
	named(r, r.RIPs[0], "default route")
}

func TestAServerThatIsNotThereIsNamed(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	const nobody = "172.25.254.77"
	r.Rules("-A -t "+r.VIP+":80 -s rr", "-a -t "+r.VIP+":80 -r "+nobody+":8080 -m")
	named(r, nobody, "nobody answers for the address")
}

// named calls the service until the log says so of a server.
func named(r *rig.Rig, server, words string) {
	r.T.Helper()
	r.Until("the log names the server", func() bool {
		asks(r, r.VIP+":80")
		return slices.ContainsFunc(strings.Split(r.Log(), "\n"), func(line string) bool {
			return strings.Contains(line, "server="+server) && strings.Contains(line, words)
		})
	})
}

func TestANICWithoutACarrierIsNamed(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Must(r.Switch.Down("director"))
	r.Direct()
	if log := r.Log(); !strings.Contains(log, "no carrier") || !strings.Contains(log, "nic="+r.Private) || strings.Contains(log, "nic="+r.Public) {
		t.Errorf("log:\n%s", log)
	}
	r.Stop()
}
