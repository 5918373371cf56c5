package twonic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// modes are the ways in which curl opens data connections, with the family
// that has them.
var modes = []struct {
	name, args string
	only4      bool
}{
	{"PASV", "--disable-epsv --no-ftp-skip-pasv-ip", true},
	{"EPSV", "", false},
	{"PORT", "--ftp-port - --disable-eprt", true},
	{"EPRT", "--ftp-port -", false},
}

func ftpURL(vip, file string) string { return "ftp://" + net.JoinHostPort(vip, "21") + "/" + file }

// weirdReply is curl's exit status when the server speaks on the control
// connection before its data connection is there.
const weirdReply = 8

// fetch gets files over one control connection, and counts these. Two workers
// may forward it and a data connection that the server opens, so that one
// overtakes the other; curl bears only one order, and is called again.
func fetch(r *rig.Rig, calls *int, args, vip string, files ...string) string {
	r.T.Helper()
	words := append([]string{"-gsS", "--max-time", "40"}, strings.Fields(args)...)
	for _, file := range files {
		words = append(words, ftpURL(vip, file))
	}
	for {
		*calls++
		out, err := r.Client.Run(r.T.Context(), "curl", words...)
		var exit *exec.ExitError
		if strings.Contains(args, "--ftp-port") && errors.As(err, &exit) && exit.ExitCode() == weirdReply && *calls < 100 {
			continue
		}
		if err != nil {
			r.T.Fatalf("curl %v: %v: %s", words, err, out)
		}
		return out
	}
}

// The control connection and its data connections may have different workers.
func TestFTPInAllItsModes(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	twoQueues(r)
	large := make([]byte, 300_000)
	for i := range large {
		large[i] = byte(rand.Uint32())
	}
	r.FTP(map[string][]byte{"large": large})
	r.Direct("--workers", "2")
	// In the answers of the servers this one is shorter than they are.
	const short = "172.25.8.9"
	r.Must(r.Director.Address(r.Public, short+"/32"))
	shorter := r.V4()
	shorter.Name, shorter.VIP = "IPv4, a shorter VIP", short
	for _, f := range []rig.Family{r.V4(), r.V6(), shorter} {
		r.Part(f.Name, func(r *rig.Rig) {
			r.Rules(f.Services("-t", "21", "rr", "21")...)
			calls := 0
			for _, mode := range modes {
				if mode.only4 && f.Name == "IPv6" {
					continue
				}
				r.Part(mode.name, func(r *rig.Rig) {
					for range 2 {
						said := fetch(r, &calls, mode.args, f.VIP, "who")
						if want := []string{"server1\n", "server2\n"}[calls%2]; said != want {
							r.T.Errorf("call %d is answered by %q, want %q", calls, said, want)
						}
					}
					got := fetch(r, &calls, mode.args, f.VIP, "who", "large", "who", "large", "who")
					name, rest, _ := strings.Cut(got, "\n")
					name += "\n"
					if want := name + string(large) + name + string(large) + name; name+rest != want {
						r.T.Errorf("over one control connection %d bytes came, want %d", len(got), len(want))
					}
				})
			}
		})
	}
	r.Until("no data connection is expected", func() bool { return !strings.Contains(r.Adm("-lnc"), "LISTEN") })
	r.Stop()
}

func TestDataConnectionsOfFTPAreListed(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.FTP(map[string][]byte{"large": bytes.Repeat([]byte("large"), 200_000)})
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "21", "rr", "21")...)
	for _, mode := range []struct{ args, virtual string }{
		{"--disable-epsv --no-ftp-skip-pasv-ip", ":500"}, {"--ftp-port -", ":20"},
	} {
		words := append([]string{"-gsS", "--limit-rate", "20k", "-o", "/dev/null"}, strings.Fields(mode.args)...)
		p, err := r.Client.Start(exec.Command("curl", append(words, ftpURL(f.VIP, "large"))...))
		r.Must(err)
		r.Until("a data connection of "+f.VIP+mode.virtual+" is listed", func() bool {
			for line := range strings.Lines(r.Adm("-lnc")) {
				w := strings.Fields(line)
				if len(w) == 6 && w[2] == "ESTABLISHED" && strings.HasPrefix(w[4], f.VIP+mode.virtual) && !strings.HasSuffix(w[4], ":21") {
					return strings.HasPrefix(w[3], f.CIP) && strings.Contains(w[5], mode.virtual)
				}
			}
			return false
		})
		p.Signal(9)
		<-p.Done()
	}
	r.Stop()
}

func TestFTPCanBeLeftAlone(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.FTP(nil)
	r.Direct("--ftp", "")
	f := r.V4()
	r.Rules(f.Services("-t", "21", "rr", "21")...)
	ctx, cancel := context.WithTimeout(context.Background(), rig.Patience)
	defer cancel()
	if out, err := r.Client.Run(ctx, "curl", "-gsS", "--max-time", "5", ftpURL(f.VIP, "who")); err == nil {
		t.Errorf("a data connection was found: %q", out)
	}
	if list := r.Adm("-lnc"); strings.Contains(list, "LISTEN") {
		t.Errorf("a data connection is expected:\n%s", list)
	}
	r.Stop()
}

// A port that a data connection has is steered to lvx; what is the kernel's
// there reaches it all the same.
func TestWhatTheKernelHasByAnAwaitedPortReachesIt(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.FTP(nil)
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "21", "rr", "21")...)
	ctx, cancel := context.WithTimeout(context.Background(), rig.Patience)
	defer cancel()
	control, err := r.Client.Dial(ctx, "tcp", net.JoinHostPort(f.VIP, "21"))
	r.Must(err)
	defer control.Close()
	control.SetDeadline(time.Now().Add(rig.Patience))
	buffer := make([]byte, 512)
	n, err := control.Read(buffer)
	r.Must(err)
	for _, line := range []string{"USER anonymous", "EPSV"} {
		_, err = fmt.Fprintf(control, "%s\r\n", line)
		r.Must(err)
		n, err = control.Read(buffer)
		r.Must(err)
	}
	_, text, _ := strings.Cut(string(buffer[:n]), "(|||")
	port, _, found := strings.Cut(text, "|)")
	if !found {
		t.Fatalf("answered %q", buffer[:n])
	}
	hasRow(r, "-lnc", fmt.Sprintf("TCP * LISTEN %s:0 %s:%s %s:%s", f.CIP, f.VIP, port, f.RIPs[1], port))
	l, err := r.Director.Listen("tcp", net.JoinHostPort(f.VIP, port))
	r.Must(err)
	defer l.Close()
	other, err := r.Servers[0].Dial(ctx, "tcp", net.JoinHostPort(f.VIP, port))
	r.Must(err)
	defer other.Close()
	own, err := l.Accept()
	r.Must(err)
	own.Close()
	r.Stop()
}
