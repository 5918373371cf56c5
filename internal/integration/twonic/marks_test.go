package twonic

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// The VIPs of these tests lie behind the director, which takes them all.
const (
	marked  = "203.0.113.0/29"
	marked6 = "fd00:113::/64"
)

func markedRig(t *testing.T) *rig.Rig {
	r := rig.New(t, netlab.TwoNIC)
	r.Run(r.Director, "ip", "route", "add", "local", marked, "dev", "lo")
	r.Run(r.Director, "ip", "route", "add", "local", marked6, "dev", "lo")
	return r
}

func marksFile(r *rig.Rig, rules ...string) string {
	path := filepath.Join(r.Dir, "marks")
	r.Must(os.WriteFile(path, []byte(strings.Join(rules, "\n")+"\n"), 0o600))
	return path
}

func TestOneMarkHasTwoVIPsAndTwoPorts(t *testing.T) {
	r := markedRig(t)
	r.Nginx(t.TempDir(), "80", "81")
	r.Direct("--marks", marksFile(r, "# web", "5 to "+marked+" tcp 80-81 on pub0", "5 to "+marked6+" tcp 80-81"))
	f := r.V4()
	r.Rules("-A -f 5 -s rr -p 60", "-a -f 5 -r "+f.RIPs[0]+" -m", "-a -f 5 -r "+f.RIPs[1]+":8080 -m")
	urls := []string{url("203.0.113.1", "80"), url("203.0.113.2", "80"), url("203.0.113.1", "81"), url("203.0.113.2", "81")}
	for _, u := range urls {
		if got := r.Curl(r.Client, u); got != "server2 "+f.CIP {
			t.Errorf("%s is answered by %q", u, got)
		}
	}
	hasRow(r, "-ln", "FWM 5 rr persistent 60")
	hasRow(r, "-ln -f 5 --persistent-conn", "-> "+f.RIPs[1]+":8080 1 1 * *")
	hasRow(r, "-lnc", fmt.Sprintf("IP * ASSURED %s:0 0.0.0.5:0 %s:0", f.CIP, f.RIPs[1]))
	awaitRow(r, "-lnc", fmt.Sprintf("TCP * TIME_WAIT * 203.0.113.2:81 %s:81", f.RIPs[1]))
	hasRow(r, "-ln --stats", "FWM 5 4 * * * *")
	r.Until("the counters are zero", func() bool { // unless a last packet comes after it
		r.Adm("-Z -f 5")
		return row(r.Adm("-ln --stats"), "FWM 5 0 0 0 0 0")
	})
	if _, err := r.Client.Dial(t.Context(), "tcp", "203.0.113.1:82"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a port without mark: %v", err)
	}
	// Without persistence the servers take turns, for one VIP or several.
	r.Adm("-E -f 5 -s rr")
	r.Adm("-e -f 5 -r " + f.RIPs[1] + ":8080 -m -w 0")
	r.Adm("-a -f 5 -r " + f.RIPs[1] + ":81 -m")
	var who []string
	for _, u := range urls {
		server, _, _ := strings.Cut(r.Curl(r.Client, u), " ")
		who = append(who, server)
	}
	if who[0] == who[1] || !slices.Equal(who[:2], who[2:]) {
		t.Errorf("answers: %v", who)
	}
	r.Rules("-A -f 5 -6 -s rr", "-a -f 5 -6 -r "+r.RIP6s[0]+" -m")
	if got := r.Curl(r.Client, url("fd00:113::7", "81")); got != "server1 "+r.CIP6 {
		t.Errorf("IPv6 is answered by %q", got)
	}
	saved := r.Adm("-S -n")
	if !strings.Contains(saved, "-A -f 5 -s rr\n") || !strings.Contains(saved, "-A -f 5 -6 -s rr\n") {
		t.Errorf("saved:\n%s", saved)
	}
	r.Adm("-C")
	r.Rules(strings.TrimSpace(saved))
	if again := r.Adm("-S -n"); again != saved {
		t.Errorf("saved:\n%srestored:\n%s", saved, again)
	}
	if list := r.Mark("list"); list != "5 to "+marked+" tcp 80-81 on pub0\n5 to "+marked6+" tcp 80-81\n" {
		t.Errorf("mark rules:\n%s", list)
	}
	if log := r.Log(); strings.Contains(log, "203.0.113") {
		t.Errorf("a warning about addresses that are local:\n%s", log)
	}
	r.Stop()
}

// get asks for the page over a connection that stays open.
func get(c net.Conn) (string, error) {
	c.SetDeadline(time.Now().Add(rig.Patience))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return "", err
	}
	in := bufio.NewReader(c)
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			return "", err
		}
	}
	return in.ReadString('\n')
}

func TestConnectionsOutliveTheirMarkRule(t *testing.T) {
	r := markedRig(t)
	r.Nginx(t.TempDir(), "80")
	r.Direct()
	f := r.V4()
	steered := func() int {
		var n int
		for line := range strings.Lines(r.Info()) {
			fmt.Sscanf(line, "  steer.service %d", &n)
		}
		return n
	}
	r.Mark("add 5 to " + marked + " tcp")
	r.Rules("-A -f 5 -s rr", "-a -f 5 -r "+f.RIPs[0]+" -m")
	conns := r.Hold(r.Client, 1, "203.0.113.3:80")
	for _, change := range []func(){func() {}, func() { r.Mark("flush") }, func() { r.Mark("add 6 to " + marked) }} {
		change()
		if got, err := get(conns[0]); err != nil || got != "server1 "+f.CIP+"\n" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if _, err := r.Client.Dial(t.Context(), "tcp", "203.0.113.4:80"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a new connection: %v", err)
	}
	// With its last connection a past rule is forgotten.
	r.Adm("sysctl expire_nodest_conn=1")
	r.Adm("-d -f 5 -r " + f.RIPs[0])
	r.Until("the connection is gone", func() bool { return strings.Count(r.Adm("-lnc"), "\n") == 2 })
	r.Until("nothing is steered any more", func() bool {
		before := steered()
		_, err := r.Client.Dial(t.Context(), "tcp", "203.0.113.4:80")
		return err != nil && steered() == before
	})
	r.Stop()
}

func TestMarkedDatagramsAndTheirFragments(t *testing.T) {
	r := markedRig(t)
	r.Echo("7")
	r.Direct()
	r.Mark("add 7 to " + marked + " udp 7000")
	r.Rules("-A -f 7 -s rr", "-a -f 7 -r "+r.RIPs[0]+":7 -m", "-a -f 7 -r "+r.RIPs[1]+":7 -m")
	for i, size := range []int{9, 9, 4000, 20000} {
		text := strings.Repeat("x", size)
		server, rest, _ := strings.Cut(echo(r, fmt.Sprintf("203.0.113.%d:7000", i+1), text), " ")
		if rest != text || server != []string{"server2", "server1"}[i%2] {
			t.Errorf("%d bytes: %s answers %d", size, server, len(rest))
		}
	}
	r.Stop()
}

func TestMarkRulesThatCannotWorkAreNamed(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	if out, err := r.TryRun("--public", r.Public, "--private", r.Private, "--marks", marksFile(r, "5 to 192.0.2.1 on eth7")); err == nil || !strings.Contains(out, "eth7 is no NIC of the director") {
		t.Errorf("%v\n%s", err, out)
	}
	r.Direct("--add-vips")
	r.Rules("-A -f 5 -s rr", "-a -f 5 -r "+r.RIPs[0]+" -m")
	r.Mark("add 5 to 172.25.8.120 tcp 80")
	if list := r.Run(r.Director, "ip", "-o", "address", "show", "dev", "pub0"); !strings.Contains(list, "172.25.8.120/32") {
		t.Errorf("the VIP of a rule is not added:\n%s", list)
	}
	if out := r.Mark("add 5 to " + marked); !strings.Contains(out, "ip route add local "+marked+" dev lo") {
		t.Errorf("no word about a prefix that is nobody's: %q", out)
	}
	r.Stop()
}

// The marks of Debian's tools are those of lvx's rules.
func TestDebiansIpvsadmCommandsMarks(t *testing.T) {
	needProgram(t, "ipvsadm")
	r := markedRig(t)
	r.Nginx(t.TempDir(), "80")
	r.Direct("--marks", marksFile(r, "5 to "+marked))
	unmodified(r, "ipvsadm", "-A", "-f", "5", "-s", "rr", "-p", "60")
	for _, rip := range r.RIPs {
		unmodified(r, "ipvsadm", "-a", "-f", "5", "-r", rip, "-m")
	}
	if got := r.Curl(r.Client, url("203.0.113.5", "80")); got != "server2 "+r.CIP {
		t.Errorf("answer: %q", got)
	}
	for _, list := range []string{"-Ln", "-Ln -f 5", "-S -n", "-Ln --persistent-conn"} {
		if got := alike(r, list); !strings.Contains(got, " 5 ") {
			t.Errorf("ipvsadm %s:\n%s", list, got)
		}
	}
	if got := unmodified(r, "ipvsadm", "-Lnc"); !row(got, fmt.Sprintf("IP * ASSURED %s:0 0.0.0.5:0 %s:0", r.CIP, r.RIPs[1])) {
		t.Errorf("connections:\n%s", got)
	}
	unmodified(r, "ipvsadm", "-Z", "-f", "5")
	unmodified(r, "ipvsadm", "-D", "-f", "5")
	if got := unmodified(r, "ipvsadm", "-S", "-n"); got != "" {
		t.Errorf("left:\n%s", got)
	}
	r.Stop()
}

const keepalivedMark = `
virtual_server fwmark 5 {
	delay_loop 1
	lb_algo rr
	lb_kind NAT
	persistence_timeout 60
	real_server %s 80 {
		weight 1
		TCP_CHECK { connect_timeout 10
			retry 0 }
	}
	real_server %s 80 {
		weight 1
		TCP_CHECK { connect_timeout 10
			retry 0 }
	}
}
`

func TestDebiansKeepalivedServesAMark(t *testing.T) {
	needProgram(t, "keepalived")
	r := markedRig(t)
	first := greet(r, r.Servers[0], r.RIPs[0]+":80", "one")
	greet(r, r.Servers[1], r.RIPs[1]+":80", "two")
	r.Direct("--marks", marksFile(r, "5 to "+marked+" tcp 80"))
	conf := filepath.Join(r.Dir, "keepalived.conf")
	r.Must(os.WriteFile(conf, fmt.Appendf(nil, keepalivedMark, r.RIPs[0], r.RIPs[1]), 0o600))
	p := r.Start("exec", "--", "keepalived", "-D", "-C", "-f", conf, "-p", r.Dir+"/keepalived.pid", "-c", r.Dir+"/checkers.pid")
	rules := func(rips ...string) func() bool {
		want := "-A -f 5 -s rr -p 60\n"
		for _, rip := range rips {
			want += "-a -f 5 -r " + rip + ":80 -m -w 1\n"
		}
		return func() bool { return r.Adm("-S -n") == want }
	}
	r.Until("both servers are in", rules(r.RIPs...))
	who := greeted(r, "203.0.113.1:80")
	if again := greeted(r, "203.0.113.2:80"); again != who || who != "one" && who != "two" {
		t.Errorf("%q, then %q", who, again)
	}
	first.Close()
	r.Until("the dead server is out", rules(r.RIPs[1]))
	if got := greeted(r, "203.0.113.3:80"); got != "two" {
		t.Errorf("with one server left: %q", got)
	}
	r.Must(p.Signal(unix.SIGTERM))
	if err := p.Wait(); err != nil {
		t.Errorf("lvx exec ended with %v", err)
	}
	if rules := r.Adm("-S -n"); rules != "" {
		t.Errorf("keepalived left rules behind:\n%s", rules)
	}
	r.Stop()
}
