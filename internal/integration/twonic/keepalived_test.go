package twonic

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// keepalived is Debian's, under `lvx exec` in the director.
type keepalived struct {
	*netlab.Process
	r    *rig.Rig
	says string // a file with what it and lvx exec print
}

// newKeepalived runs keepalived on a configuration in which VIP, RIP1 and RIP2
// stand for the topology's addresses. Without `-n` among the arguments it
// becomes a daemon, by forking twice.
func newKeepalived(r *rig.Rig, configuration string, args ...string) *keepalived {
	r.T.Helper()
	k := &keepalived{r: r, says: filepath.Join(r.Dir, "keepalived.log")}
	k.write(configuration)
	args = append([]string{"exec", "--socket", r.Socket, "--", "keepalived", "-D", "-f", k.conf(),
		"-p", k.pidFile("parent"), "-c", k.pidFile("checkers"), "-r", k.pidFile("vrrp")}, args...)
	cmd := exec.Command(rig.Executable(r.T), args...)
	log, err := os.OpenFile(k.says, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	r.Must(err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	k.Process, err = r.Director.Start(cmd)
	r.Must(err)
	r.T.Cleanup(func() {
		if r.T.Failed() {
			r.T.Logf("keepalived:\n%s", k.log())
		}
	})
	return k
}

func (k *keepalived) conf() string               { return filepath.Join(k.r.Dir, "keepalived.conf") }
func (k *keepalived) pidFile(part string) string { return filepath.Join(k.r.Dir, part+".pid") }

func (k *keepalived) write(configuration string) {
	k.r.T.Helper()
	k.r.Must(os.WriteFile(k.conf(), []byte(k.placed(configuration)), 0o600))
}

// placed puts the topology's addresses into a text.
func (k *keepalived) placed(text string) string {
	return strings.NewReplacer("VIP", k.r.VIP, "RIP1", k.r.RIPs[0], "RIP2", k.r.RIPs[1]).Replace(text)
}

func (k *keepalived) reload(configuration string) {
	k.r.T.Helper()
	k.write(configuration)
	k.r.Must(k.Signal(unix.SIGHUP))
}

// stop ends keepalived in order.
func (k *keepalived) stop() {
	k.r.T.Helper()
	k.r.Must(k.Signal(unix.SIGTERM))
	if err := k.Wait(); err != nil {
		k.r.T.Errorf("lvx exec ended with %v", err)
	}
}

// kill ends keepalived's processes without notice: neither sees the other's
// end.
func (k *keepalived) kill() {
	k.r.T.Helper()
	parent, checkers := k.pid("parent"), k.pid("checkers")
	k.r.Must(unix.Kill(checkers, unix.SIGSTOP), unix.Kill(parent, unix.SIGKILL), unix.Kill(checkers, unix.SIGKILL))
	if k.Wait() == nil {
		k.r.T.Error("lvx exec says that a killed keepalived ended well")
	}
}

func (k *keepalived) pid(part string) int {
	k.r.T.Helper()
	text, err := os.ReadFile(k.pidFile(part))
	k.r.Must(err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	k.r.Must(err)
	return pid
}

func (k *keepalived) log() string {
	k.r.T.Helper()
	text, err := os.ReadFile(k.says)
	k.r.Must(err)
	return string(text)
}

// has waits until the director has these rules, in the words of
// configurations.
func (k *keepalived) has(what, rules string) {
	k.r.T.Helper()
	var got string
	rules = k.placed(rules)
	defer func() {
		if got != rules {
			k.r.T.Logf("rules:\n%s", got)
		}
	}()
	k.r.Until(what, func() bool { got = k.r.Adm("-S -n"); return got == rules })
}

// floating is a VIP that VRRP brings up.
const floating = "172.25.8.111"

// greet listens in a server and says text to whoever connects.
func greet(r *rig.Rig, host *netlab.Host, address, text string) net.Listener {
	r.T.Helper()
	l, err := host.Listen("tcp4", address)
	r.Must(err)
	r.T.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, text)
			c.Close()
		}
	}()
	return l
}

// greeted connects from the client and returns what it is told.
func greeted(r *rig.Rig, address string) string {
	c, err := r.Client.Dial(r.T.Context(), "tcp4", address)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	text, _ := io.ReadAll(c)
	return string(text)
}

// parrot answers datagrams in a server with what was sent.
func parrot(r *rig.Rig, host *netlab.Host, address string) net.PacketConn {
	r.T.Helper()
	c, err := host.ListenPacket("udp4", address)
	r.Must(err)
	r.T.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(buf[:n], from)
		}
	}()
	return c
}

const wholeLife = `
vrrp_instance outside {
	interface pub0
	state MASTER
	version 3
	virtual_router_id 7
	advert_int 0.1
	virtual_ipaddress { 172.25.8.111/32 }
}
virtual_server 172.25.8.111 80 {
	delay_loop 1
	lb_algo wrr
	lb_kind NAT
	protocol TCP
	quorum 1
	sorry_server RIP2 9090
	real_server RIP1 8080 {
		weight 3
		TCP_CHECK { connect_timeout 10
			retry 0 }
	}
	real_server RIP2 8080 {
		weight 1
		TCP_CHECK { connect_timeout 10
			retry 0 }
	}
}
`

const laterLife = `
virtual_server 172.25.8.111 53 {
	delay_loop 1
	lb_algo rr
	lb_kind NAT
	protocol UDP
	alpha
	real_server RIP2 53 {
		UDP_CHECK { connect_timeout 10
			retry 0
			payload 68656c6c6f
			require_reply 68656c6c6f }
	}
}
virtual_server 2001:db8::80 80 {
	lb_algo rr
	lb_kind NAT
	protocol TCP
	real_server 2001:db8::1 80 {
	}
}
`

// Keepalived becomes a daemon here.
func TestDebiansKeepalivedLivesItsWholeLife(t *testing.T) {
	needProgram(t, "keepalived")
	r := rig.New(t, netlab.TwoNIC)
	const vip = floating + ":80"
	first := greet(r, r.Servers[0], r.RIPs[0]+":8080", "one")
	second := greet(r, r.Servers[1], r.RIPs[1]+":8080", "two")
	greet(r, r.Servers[1], r.RIPs[1]+":9090", "sorry")
	names := parrot(r, r.Servers[1], r.RIPs[1]+":53")
	r.Direct()
	k := newKeepalived(r, wholeLife)
	const web, dns = "-A -t " + vip + " -s wrr\n", "-A -u " + floating + ":53 -s rr\n"
	const one, two, sorry = "-a -t " + vip + " -r RIP1:8080 -m -w 3\n", "-a -t " + vip + " -r RIP2:8080 -m -w 1\n", "-a -t " + vip + " -r RIP2:9090 -m -w 1\n"

	k.has("both servers are in", web+one+two)
	r.Until("the VIP is up and reaches a server", func() bool { return greeted(r, vip) == "one" })
	first.Close()
	k.has("the dead server is out", web+two)
	if got := greeted(r, vip); got != "two" {
		t.Errorf("with one server left: %q", got)
	}
	second.Close()
	k.has("the sorry server is in", web+sorry)
	if got := greeted(r, vip); got != "sorry" {
		t.Errorf("without a server: %q", got)
	}
	greet(r, r.Servers[0], r.RIPs[0]+":8080", "one again")
	k.has("the quorum is back and the sorry server out", web+one)
	if got := greeted(r, vip); got != "one again" {
		t.Errorf("with a server again: %q", got)
	}

	k.reload(strings.Replace(wholeLife, "weight 3", "weight 5", 1) + laterLife)
	five := strings.Replace(one, "3", "5", 1)
	k.has("the new configuration is in force", web+five+dns+"-a -u "+floating+":53 -r RIP2:53 -m -w 1\n")
	r.Until("what to do with the IPv6 service is said", func() bool {
		return strings.Contains(k.log(), "give them to lvx adm, or to lvx run --rules\" first=2001:db8::80\n")
	})
	names.Close()
	k.has("the server that refuses datagrams is out", web+five+dns)
	k.stop()
	k.has("nothing is left behind", "")
	r.Stop()
}

// What production configurations use of IPVS. No server is checked, so all is
// as it was written.
const vocabulary = `
global_defs {
	lvs_timeouts tcp 111 tcpfin 22 udp 33
	lvs_flush
	lvs_flush_onstop
}
virtual_server_group web {
	VIP 80
	172.25.8.111-113 81
	fwmark 7
}
virtual_server group web {
	lvs_sched wlc
	lvs_method NAT
	protocol TCP
	real_server RIP1 8080 {
		weight 3
		uthreshold 100
		lthreshold 50
	}
	real_server RIP2 8080 {
		weight 0
	}
}
virtual_server fwmark 9 {
	lvs_sched lblcr
	lvs_method NAT
	persistence_timeout 30
	real_server RIP1 0 {
	}
}
virtual_server VIP 0 {
	lvs_sched rr
	lvs_method NAT
	protocol UDP
	persistence_timeout 30
	persistence_granularity 255.255.255.0
	real_server RIP1 0 {
	}
}
virtual_server VIP 53 {
	lvs_sched sh
	lvs_method NAT
	sh-port
	sh-fallback
	ops
	protocol UDP
	real_server RIP1 53 {
	}
}
virtual_server VIP 5000 {
	lvs_sched mh
	lvs_method NAT
	mh-port
	protocol SCTP
	real_server RIP1 5001 {
	}
}
`

// each repeats lines for several services.
func each(lines string, services ...string) string {
	var all strings.Builder
	for _, s := range services {
		all.WriteString(strings.ReplaceAll(lines, "SERVICE", s))
	}
	return all.String()
}

func TestDebiansKeepalivedSaysAllThatItCan(t *testing.T) {
	needProgram(t, "keepalived")
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	r.Rules("-A -t " + r.VIP + ":79 -s rr") // lvs_flush ends it
	k := newKeepalived(r, vocabulary, "-n", "-l")
	web := "-A SERVICE -s wlc\n-a SERVICE -r RIP1:8080 -m -w 3\n-a SERVICE -r RIP2:8080 -m -w 0\n"
	addresses := []string{"-t VIP:80", "-t 172.25.8.111:81", "-t 172.25.8.112:81", "-t 172.25.8.113:81"}
	others := `-A -u VIP:0 -s rr -p 30 -M 255.255.255.0
-a -u VIP:0 -r RIP1:0 -m -w 1
-A -u VIP:53 -s sh -o -b sh-fallback,sh-port
-a -u VIP:53 -r RIP1:53 -m -w 1
-A --sctp-service VIP:5000 -s mh -b mh-port
-a --sctp-service VIP:5000 -r RIP1:5001 -m -w 1
`
	ninth := "-A -f 9 -s lblcr -p 30\n-a -f 9 -r RIP1:0 -m -w 1\n"
	k.has("all services are in", each(web, addresses...)+others+each(web, "-f 7")+ninth)
	if got := r.Adm("-L --timeout"); got != "Timeout (tcp tcpfin udp): 111 22 33\n" {
		t.Error(got)
	}
	if got := r.Adm("-Ln --thresholds"); strings.Count(got, "100        50 ") != 5 {
		t.Errorf("thresholds:\n%s", got)
	}

	k.reload(strings.NewReplacer("lvs_sched wlc", "lvs_sched sed", "weight 0", "weight 4", "weight 3", "weight 0",
		"persistence_timeout 30\n\tpersistence_granularity", "persistence_timeout 40\n\tpersistence_granularity", "sh-fallback", "",
		"virtual_server fwmark 9", "virtual_server fwmark 10").Replace(vocabulary))
	web = strings.NewReplacer("wlc", "sed", "-w 3", "-w 0", "-w 0", "-w 4").Replace(web)
	others = strings.NewReplacer("-p 30", "-p 40", "sh-fallback,", "").Replace(others)
	k.has("all that has changed is other", each(web, addresses...)+others+each(web, "-f 7")+strings.ReplaceAll(ninth, "-f 9", "-f 10"))
	k.stop()
	k.has("nothing is left", "")
	r.Stop()
}

func TestRulesOutliveAKilledKeepalived(t *testing.T) {
	needProgram(t, "keepalived")
	r := rig.New(t, netlab.TwoNIC)
	greet(r, r.Servers[0], r.RIPs[0]+":8080", "one")
	second := greet(r, r.Servers[1], r.RIPs[1]+":8080", "two")
	r.Direct()
	k := newKeepalived(r, wholeLife, "-n", "-l")
	const vip = floating + ":80"
	const web, one = "-A -t " + vip + " -s wrr\n", "-a -t " + vip + " -r RIP1:8080 -m -w 3\n"
	const both = web + one + "-a -t " + vip + " -r RIP2:8080 -m -w 1\n"
	k.has("both servers are in", both)
	k.kill()
	k.has("both servers are still in", both)
	second.Close()
	k = newKeepalived(r, wholeLife, "-n", "-l")
	k.has("the next keepalived has taken over, and the dead server is out", web+one)
	k.stop()
	k.has("nothing is left", "")
	r.Stop()
}
