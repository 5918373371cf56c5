package sockopt

import (
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/service"
)

// What ipvsadm says of an error is its own; that it says so shows that the
// error is the kernel's.
func TestIpvsadmCommandsADirector(t *testing.T) {
	s := newStage(t, &double{})
	need(t, "ipvsadm")
	for _, c := range []struct {
		line   string
		status int
		err    string
	}{
		{"-A -t 192.0.2.10:80 -s wrr", 0, ""},
		{"-A -t 192.0.2.10:80 -s rr", 255, "Service already exists\n"},
		{"-A -t 192.0.2.10:81 -s nosuch", 255, "Scheduler or persistence engine not found\n"},
		{"-A -u 192.0.2.10:53 -s mh -b mh-port", 0, ""},
		{"-A -t 224.0.0.1:80", 255, "Invalid operation.  Possibly wrong module version, address not unicast, ...\n"},
		{"-a -t 192.0.2.10:80 -r 10.0.0.11:8080 -m -w 3", 0, ""},
		{"-a -t 192.0.2.10:80 -r 10.0.0.12:8080 -m", 0, ""},
		{"-a -t 192.0.2.10:80 -r 10.0.0.12:8080 -m", 255, "Destination already exists\n"},
		{"-a -t 192.0.2.99:80 -r 10.0.0.12:8080 -m", 255, "Service not defined\n"},
		{"-e -t 192.0.2.10:80 -r 10.0.0.12:8080 -m -w 2147483647", 0, ""},
		{"-e -t 192.0.2.10:80 -r 10.0.0.13:8080 -m", 255, "No such destination\n"},
		{"-e -t 192.0.2.10:80 -r 10.0.0.12:8080 -m -y 5 -x 2", 255, "Numerical result out of range\n"},
		{"-d -t 192.0.2.10:80 -r 10.0.0.13:8080", 255, "No such destination\n"},
		{"-E -t 192.0.2.10:80 -s wlc", 0, ""},
		{"-E -t 192.0.2.11:80 -s wlc", 255, "No such service\n"},
		{"-D -t 192.0.2.11:80", 255, "No such service\n"},
		{"-Z", 0, ""}, {"-Z -t 192.0.2.10:80", 0, ""}, {"-Z -t 192.0.2.11:80", 255, "No such service\n"},
		{"--set 60 0 10", 0, ""},
		{"-L -t 192.0.2.11:80", 1, "No such service\n"},
	} {
		got := s.run(append([]string{"ipvsadm"}, strings.Fields(c.line)...)...)
		if got != (result{c.status, "", c.err}) {
			t.Errorf("%s: %+v, want %d %q", c.line, got, c.status, c.err)
		}
	}
	for line, want := range map[string]string{
		"-A -t 192.0.2.10:443 -p 60":                   "persistent services are not supported",
		"-a -t 192.0.2.10:80 -r 10.0.0.14 -g":          "masquerading (-m) is not supported",
		"--start-daemon master --mcast-interface eth0": "synchronization with another director is not supported",
		"-A -t [2001:db8::1]:80 -s rr":                 "give them to lvx adm",
		"-A -f 9 -6":                                   "give them to lvx adm",
	} {
		got := s.run(append([]string{"ipvsadm"}, strings.Fields(line)...)...)
		if got.status != 255 || !strings.Contains(got.err, want) || !strings.Contains(got.err, "\nOperation not supported") {
			t.Errorf("%s: %+v, want %q", line, got, want)
		}
	}
	if n := len(s.edits()); n != 9 {
		t.Errorf("%d edits: %v", n, s.edits())
	}
}

const listed = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  192.0.2.10:80 wrr
  -> 10.0.0.11:8080               Masq    3      5          250000    
  -> 10.0.0.12:8080               Masq    1      5          250000    
UDP  192.0.2.10:53 mh (mh-port)
`

func TestIpvsadmListsADirector(t *testing.T) {
	s := newStage(t, made(t))
	need(t, "ipvsadm")
	for _, c := range []struct{ line, want string }{
		{"-Ln", listed},
		{"-L -n -t 192.0.2.10:80", strings.Join(strings.SplitAfter(listed, "\n")[1:6], "")},
		{"-L --timeout", "Timeout (tcp tcpfin udp): 900 120 300\n"},
		{"-L --daemon", ""},
		{"-Ln --stats", `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  192.0.2.10:80                       3        4        0    1099G        0
  -> 10.0.0.11:8080                      0        0        0        0        0
  -> 10.0.0.12:8080                      0        0        0        0        0
UDP  192.0.2.10:53                       3        4        0    1099G        0
`},
		{"-Lnc", `IPVS connection entries
pro expire state       source             virtual            destination
TCP 14:59  ESTABLISHED 203.0.113.5:49153  192.0.2.10:80      10.0.0.11:8080
UDP 00:01  UDP         [2001:db8::5]:4    [2001:db8::1]:53   [fd00::1]:53
`},
	} {
		got := s.run(append([]string{"ipvsadm"}, strings.Fields(c.line)...)...)
		if got.status != 0 || got.out != c.want {
			t.Errorf("%s: %d, %s\n%swant\n%s", c.line, got.status, got.err, got.out, c.want)
		}
	}
	if got := s.run("ipvsadm", "-Ln"); strings.Count(got.err, "lvx adm does") != 1 {
		t.Errorf("of the IPv6 service that is not listed: %q", got.err)
	}
}

func TestIpvsadmSavesAndRestores(t *testing.T) {
	s := newStage(t, plain(t))
	need(t, "ipvsadm")
	saved := s.run("ipvsadm", "-S", "-n")
	if want := `-A -t 192.0.2.10:80 -s wrr
-a -t 192.0.2.10:80 -r 10.0.0.11:8080 -m -w 3
-a -t 192.0.2.10:80 -r 10.0.0.12:8080 -m -w 1
-A -u 192.0.2.10:53 -s mh -b mh-port
`; saved.out != want || saved.status != 0 {
		t.Fatalf("saved: %+v", saved)
	}
	if got := s.run("ipvsadm", "-C"); got != (result{}) {
		t.Fatalf("clear: %+v", got)
	}
	if n := s.set.Len(); n != 0 {
		t.Fatalf("%d services are left", n)
	}
	if got := s.runWith(saved.out, "ipvsadm", "-R"); got != (result{}) {
		t.Fatalf("restore: %+v", got)
	}
	if again := s.run("ipvsadm", "-S", "-n"); again != (result{0, saved.out, ""}) {
		t.Errorf("saved again: %+v", again)
	}
	bad := "-A -t 192.0.2.10:80 -s rr\n-A -t 192.0.2.20:80 -s rr\n"
	if got := s.runWith(bad, "ipvsadm", "-R"); got != (result{0, "", "Service already exists\n"}) {
		t.Errorf("restore with an error: %+v", got)
	}
	if got := s.run("ipvsadm", "-D", "-t", "192.0.2.20:80"); got != (result{}) {
		t.Errorf("delete: %+v", got)
	}
	last := s.edits()[len(s.edits())-1]
	if last.Op != service.DeleteService || last.Service.Address.String() != "192.0.2.20:80" {
		t.Errorf("last edit: %v", last)
	}
}
