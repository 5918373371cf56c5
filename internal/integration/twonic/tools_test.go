package twonic

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// unmodified runs a program of Debian's under `lvx exec` and returns its
// output.
func unmodified(r *rig.Rig, program string, args ...string) string {
	r.T.Helper()
	cmd := exec.Command(rig.Executable(r.T), append([]string{"exec", "--socket", r.Socket, "--", program}, args...)...)
	out, err := r.Director.Output(cmd)
	if err != nil {
		r.T.Fatalf("%s %s: %v: %s", program, strings.Join(args, " "), err, out)
	}
	return out
}

// alike waits until ipvsadm and lvx adm print the same list, which it returns:
// the last packets of connections may be counted between the two.
func alike(r *rig.Rig, list string) (got string) {
	r.T.Helper()
	var want string
	defer func() {
		if got != want {
			r.T.Logf("ipvsadm %s:\n%slvx adm:\n%s", list, got, want)
		}
	}()
	r.Until("ipvsadm and lvx adm agree on "+list, func() bool {
		got, want = unmodified(r, "ipvsadm", strings.Fields(list)...), r.Adm(list)
		return got == want
	})
	return got
}

func needProgram(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(program + " is not installed")
	}
}

func TestDebiansIpvsadmCommandsTheDirector(t *testing.T) {
	needProgram(t, "ipvsadm")
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	unmodified(r, "ipvsadm", "-A", "-t", r.VIP+":80", "-s", "rr")
	for _, rip := range r.RIPs {
		unmodified(r, "ipvsadm", "-a", "-t", r.VIP+":80", "-r", rip+":8080", "-m")
	}
	if got := answers(r, url(r.VIP, "80"), 4); strings.Join(got, " ") != "server2 server1 server2 server1" {
		t.Errorf("answers: %v", got)
	}
	// Rows come in any order, and deadlines pass.
	r.Until("ipvsadm lists four connections that are over", func() bool {
		return strings.Count(unmodified(r, "ipvsadm", "-Lnc"), "TIME_WAIT   "+r.CIP) == 4
	})
	for _, list := range []string{"-Ln", "-Ln --stats --exact", "-S -n", "-L --timeout"} {
		alike(r, list)
	}
	unmodified(r, "ipvsadm", "-e", "-t", r.VIP+":80", "-r", r.RIPs[0]+":8080", "-m", "-w", "0")
	if got := answers(r, url(r.VIP, "80"), 2); strings.Join(got, " ") != "server2 server2" {
		t.Errorf("answers without server1: %v", got)
	}
	unmodified(r, "ipvsadm", "-d", "-t", r.VIP+":80", "-r", r.RIPs[0]+":8080")
	unmodified(r, "ipvsadm", "-Z")
	unmodified(r, "ipvsadm", "--set", "60", "0", "0")
	unmodified(r, "ipvsadm", "-D", "-t", r.VIP+":80")
	if got := unmodified(r, "ipvsadm", "-S", "-n"); got != "" {
		t.Errorf("left:\n%s", got)
	}
}

// floating is a VIP that VRRP brings up.
const floating = "172.25.8.111"

const keepalivedConf = `
vrrp_instance outside {
	interface pub0
	state MASTER
	version 3
	virtual_router_id 7
	advert_int 0.1
	virtual_ipaddress { %[1]s/32 }
}
virtual_server %[1]s 80 {
	delay_loop 1
	lb_algo wrr
	lb_kind NAT
	protocol TCP
	quorum 1
	sorry_server %[3]s 9090
	real_server %[2]s 8080 {
		weight %[4]d
		TCP_CHECK { connect_timeout 10
			retry 0 }
	}
	real_server %[3]s 8080 {
		weight 1
		TCP_CHECK { connect_timeout 10
			retry 0 }
	}
}
`

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

// Keepalived becomes a daemon here, by forking twice.
func TestDebiansKeepalivedLivesItsWholeLife(t *testing.T) {
	needProgram(t, "keepalived")
	r := rig.New(t, netlab.TwoNIC)
	vip := floating + ":80"
	first := greet(r, r.Servers[0], r.RIPs[0]+":8080", "one")
	second := greet(r, r.Servers[1], r.RIPs[1]+":8080", "two")
	greet(r, r.Servers[1], r.RIPs[1]+":9090", "sorry")
	r.Direct()

	conf := filepath.Join(r.Dir, "keepalived.conf")
	configure := func(weight int, more string) {
		text := fmt.Sprintf(keepalivedConf, floating, r.RIPs[0], r.RIPs[1], weight) + more
		r.Must(os.WriteFile(conf, []byte(text), 0o600))
	}
	configure(3, "")
	p := r.Start("exec", "--", "keepalived", "-D", "-f", conf, "-p", r.Dir+"/keepalived.pid",
		"-c", r.Dir+"/checkers.pid", "-r", r.Dir+"/vrrp.pid")
	servers := func(rows ...string) func() bool {
		want := fmt.Sprintf("-A -t %s -s wrr\n", vip)
		for _, row := range rows {
			want += fmt.Sprintf("-a -t %s -r %s\n", vip, row)
		}
		return func() bool { return r.Adm("-S -n") == want }
	}
	one, two, sorry := r.RIPs[0]+":8080 -m -w 3", r.RIPs[1]+":8080 -m -w 1", r.RIPs[1]+":9090 -m -w 1"

	r.Until("both servers are in", servers(one, two))
	r.Until("the VIP is up and reaches a server", func() bool { return greeted(r, vip) == "one" })
	first.Close()
	r.Until("the dead server is out", servers(two))
	if got := greeted(r, vip); got != "two" {
		t.Errorf("with one server left: %q", got)
	}
	second.Close()
	r.Until("the sorry server is in", servers(sorry))
	if got := greeted(r, vip); got != "sorry" {
		t.Errorf("without a server: %q", got)
	}
	greet(r, r.Servers[0], r.RIPs[0]+":8080", "one again")
	r.Until("the quorum is back and the sorry server out", servers(one))
	if got := greeted(r, vip); got != "one again" {
		t.Errorf("with a server again: %q", got)
	}

	configure(5, fmt.Sprintf("virtual_server %s 53 {\n\tlb_algo rr\n\tlb_kind NAT\n\tprotocol UDP\n\treal_server %s 53 {\n\t}\n}\n", floating, r.RIPs[1]))
	r.Must(p.Signal(unix.SIGHUP))
	r.Until("the new configuration is in force", func() bool {
		rules := r.Adm("-S -n")
		return strings.Contains(rules, r.RIPs[0]+":8080 -m -w 5\n") && strings.Contains(rules, "-u "+floating+":53 -r "+r.RIPs[1]+":53 -m -w 1\n")
	})
	r.Must(p.Signal(unix.SIGTERM))
	if err := p.Wait(); err != nil {
		t.Errorf("lvx exec ended with %v", err)
	}
	if rules := r.Adm("-S -n"); rules != "" {
		t.Errorf("keepalived left rules behind:\n%s", rules)
	}
	r.Stop()
}
