package twonic

import (
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

// Whatever keeps a director from starting is one sentence that says what to
// look at, and nothing is left behind.
func TestADirectorThatCannotStartSaysWhy(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	bad := filepath.Join(t.TempDir(), "rules")
	r.Must(
		os.WriteFile(bad, []byte("# services\n-A -t 172.25.8.110:80 -s rr\n-a -t 172.25.8.110:80 -r nobody -m\n"), 0o600),
		r.Director.Bridge("br7"))
	for _, c := range []struct {
		name string
		args string
		want []string
	}{
		{"an unknown NIC", "--public nosuch --private priv0", []string{"nosuch"}},
		{"no NIC", "", []string{"--nic"}},
		{"a rule that is none", "--public pub0 --private priv0 --rules " + bad, []string{bad + ":3"}},
		{"no rules file", "--public pub0 --private priv0 --rules /nosuch", []string{"/nosuch"}},
		{"a bridge", "--nic br7", []string{"br7", "bridge"}},
		{"the loopback NIC", "--nic lo", []string{"lo"}},
		{"an unknown mode", "--nic pub0 --mode fast", []string{"fast"}},
		{"a NIC that is named twice", "--public pub0 --private pub0", []string{"pub0", "--nic"}},
		{"half of the NICs", "--public pub0", []string{"--private"}},
		{"a folder that is none", "--nic pub0 --socket /proc/none/lvx.sock", []string{"/proc/none", "--socket"}},
		{"zero copy where there is none", "--nic pub0 --mode zerocopy", []string{"pub0"}},
	} {
		r.Part(c.name, func(r *rig.Rig) { refused(r, strings.Fields(c.args), c.want...) })
	}
	r.Part("a large MTU", func(r *rig.Rig) {
		r.Must(r.Director.SetMTU("priv0", 9000))
		refused(r, []string{"--public", "pub0", "--private", "priv0"}, "priv0", "9000", "3498")
		r.Must(r.Director.SetMTU("priv0", 1500))
	})
	r.Part("a NIC that is down", func(r *rig.Rig) {
		r.Must(r.Director.Down("priv0"))
		refused(r, []string{"--public", "pub0", "--private", "priv0"}, "priv0", "ip link set priv0 up")
		r.Must(r.Director.Up("priv0"))
	})
	r.Part("root without rights", func(r *rig.Rig) {
		cmd := exec.Command("setpriv", "--bounding-set=-all", rig.Executable(r.T), "run", "--nic", "pub0", "--socket", r.Socket)
		said, err := r.Director.Output(cmd)
		oneLine(r, said, err, "CAP_NET_ADMIN", "CAP_BPF")
	})
	if links := r.Run(r.Director, "ip", "link"); strings.Contains(links, "xdp") {
		t.Errorf("steering stayed attached:\n%s", links)
	}
	r.Direct()
	r.Part("another director on the same socket", func(r *rig.Rig) {
		refused(r, []string{"--public", "pub0", "--private", "priv0"}, "--socket")
	})
	second := []string{"--public", "pub0", "--private", "priv0", "--socket", filepath.Join(r.Dir, "second.sock")}
	r.Part("another director of the same name", func(r *rig.Rig) { refused(r, second, "--name") })
	r.Part("another director on the same NIC", func(r *rig.Rig) {
		refused(r, append(second, "--name", "second"), "pub0", "XDP", "another lvx")
	})
	r.Stop()
}

// refused starts a director that must fail with one sentence that contains
// the given words.
func refused(r *rig.Rig, args []string, words ...string) {
	r.T.Helper()
	said, err := r.TryRun(args...)
	oneLine(r, said, err, words...)
}

// oneLine looks at what a director said that did not start.
func oneLine(r *rig.Rig, said string, err error, words ...string) {
	r.T.Helper()
	if _, failed := err.(*exec.ExitError); !failed {
		r.T.Fatalf("%v: %s", err, said)
	}
	var sentence string
	for line := range strings.Lines(said) {
		if !strings.Contains(line, "level=INFO") && !strings.Contains(line, "level=WARN") {
			sentence += line
		}
	}
	if strings.Count(sentence, "\n") != 1 {
		r.T.Errorf("not one line:\n%s", sentence)
	}
	for _, word := range words {
		if !strings.Contains(sentence, word) {
			r.T.Errorf("no %q in %q", word, sentence)
		}
	}
}

func TestRulesAreReadAtTheStart(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	rules := filepath.Join(t.TempDir(), "rules")
	text := "# the web\n\n" + strings.Join(r.V4().Services("-t", "80", "rr", "8080"), "\n") + "\n"
	r.Must(os.WriteFile(rules, []byte(text), 0o600))
	r.Direct("--rules", rules)
	if got := answers(r, url(r.VIP, "80"), 2); got[0] != "server2" || got[1] != "server1" {
		t.Errorf("answers: %v", got)
	}
	r.Stop()
}

func TestAVIPThatNobodyHasIsSaid(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	for _, vip := range []string{"172.25.8.119", "fd00:8::119"} {
		said, err := r.TryAdm("", "-A -t "+net.JoinHostPort(vip, "80")+" -s rr")
		if err != nil || !strings.Contains(said, "no NIC has the address "+vip) {
			t.Errorf("lvx adm -A: %v, %q", err, said)
		}
		if !strings.Contains(r.Log(), "no NIC has the address "+vip) {
			t.Errorf("%s is not in the log", vip)
		}
	}
	if said, err := r.TryAdm("", "-A -t "+r.VIP+":80 -s rr"); err != nil || said != "" {
		t.Errorf("a VIP that is there: %v, %q", err, said)
	}
	r.Stop()
}

func TestAServerThatNoFrameReachesIsSaid(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	r.Adm("-A -t " + r.VIP + ":80 -s rr")
	for server, want := range map[string]string{r.DIP: "is the director itself", "203.0.113.9": "no route leads to server"} {
		said, err := r.TryAdm("", "-a -t "+r.VIP+":80 -r "+server+":80 -m")
		if err != nil || !strings.Contains(said, want) || !strings.Contains(r.Log(), want) {
			t.Errorf("server %s: %v, %q", server, err, said)
		}
	}
	r.Stop()
}

func TestSystemdHearsThatTheDirectorIsReady(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	path := filepath.Join(r.Dir, "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	r.Must(err)
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	r.Direct()
	r.Must(systemd.SetReadDeadline(time.Now().Add(rig.Patience)))
	heard := make([]byte, 100)
	n, err := systemd.Read(heard)
	if r.Must(err); string(heard[:n]) != "READY=1" {
		t.Errorf("systemd hears %q", heard[:n])
	}
	r.Stop()
}
