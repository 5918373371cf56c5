package twonic

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// row reports whether a listing has a line of these words; "*" stands for any.
func row(list, words string) bool {
	want := strings.Fields(words)
	return slices.ContainsFunc(strings.Split(list, "\n"), func(line string) bool {
		return slices.EqualFunc(strings.Fields(line), want, func(got, want string) bool { return want == "*" || got == want })
	})
}

func hasRow(r *rig.Rig, command, words string) {
	r.T.Helper()
	if list := r.Adm(command); !row(list, words) {
		r.T.Errorf("no line %q in %s:\n%s", words, command, list)
	}
}

// awaitRow waits for a line that connections lead to: their last packets may be
// under way.
func awaitRow(r *rig.Rig, command, words string) {
	r.T.Helper()
	r.Until(fmt.Sprintf("%s has a line %q", command, words), func() bool { return row(r.Adm(command), words) })
}

func TestAPersistentServiceRemembersItsClients(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	f := r.V4()
	rules := append([]string{fmt.Sprintf("-A -t %s:80 -s rr -p 60 -M 255.255.255.252", f.VIP)}, f.Services("-t", "80", "rr", "8080")[1:]...)
	r.Rules(rules...)
	for n := range 6 {
		if got := r.Curl(r.Client, url(f.VIP, "80")); !strings.Contains(got, "server2") {
			t.Errorf("request %d is answered by %q", n, got)
		}
	}
	network := "172.25.8.8:0" // 172.25.8.10 under the mask
	hasRow(r, "-lnc", fmt.Sprintf("TCP * ASSURED %s %s:80 %s:8080", network, f.VIP, f.RIPs[1]))
	hasRow(r, "-ln --persistent-conn", fmt.Sprintf("-> %s:8080 1 1 * *", f.RIPs[1]))
	hasRow(r, "-ln", fmt.Sprintf("TCP %s:80 rr persistent 60 mask 255.255.255.252", f.VIP))
	saved := r.Adm("-S -n")
	r.Adm("-C")
	r.Rules(strings.TrimSpace(saved))
	if again := r.Adm("-S -n"); again != saved || !strings.Contains(saved, "-p 60 -M 255.255.255.252") {
		t.Errorf("saved:\n%srestored:\n%s", saved, again)
	}
	r.Adm(fmt.Sprintf("-d -t %s:80 -r %s:8080", f.VIP, f.RIPs[1]))
	if got := r.Curl(r.Client, url(f.VIP, "80")); !strings.Contains(got, "server1") {
		t.Errorf("without server2 %q answers", got)
	}
	hasRow(r, "-lnc", fmt.Sprintf("TCP * ASSURED %s %s:65535 %s:65535", network, f.VIP, f.RIPs[1]))
	r.Stop()
}

func TestAServiceOfPortZeroTakesEveryPort(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080", "8081")
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		vip := strings.TrimSuffix(net.JoinHostPort(f.VIP, "0"), ":0")
		r.Rules(fmt.Sprintf("-A -t %s:0 -s rr -p 60", vip))
		for _, rip := range f.RIPs {
			r.Rules(fmt.Sprintf("-a -t %s:0 -r %s -m", vip, net.JoinHostPort(rip, "0")))
		}
		first := r.Curl(r.Client, url(f.VIP, "8080"))
		for _, port := range []string{"8081", "8080", "8081"} {
			if got := r.Curl(r.Client, url(f.VIP, port)); got != first {
				r.T.Errorf("port %s: %q, before %q", port, got, first)
			}
		}
		r.Run(r.Client, "ping", "-c", "1", "-W", "5", f.VIP)
		hasRow(r, "-lnc", fmt.Sprintf("TCP * ASSURED %s %s:0 %s", net.JoinHostPort(f.CIP, "0"), vip, net.JoinHostPort(f.RIPs[1], "0")))
	})
	r.Stop()
}

// The client's socket is connected: it takes answers of the VIP only.
func TestOnePacketServicesAnswerFromTheVIP(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Echo("7")
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		rules := f.Services("-u", "7000", "rr", "7")
		rules[0] += " -o"
		r.Rules(rules...)
		c, err := r.Client.Dial(r.T.Context(), "udp", net.JoinHostPort(f.VIP, "7000"))
		r.Must(err)
		defer c.Close()
		var who []string
		for range 4 {
			_, err := c.Write([]byte("hello"))
			r.Must(err)
			buf := make([]byte, 100)
			n, err := c.Read(buf)
			r.Must(err)
			who = append(who, strings.Fields(string(buf[:n]))[0])
		}
		if got := strings.Join(who, " "); got != "server2 server1 server2 server1" {
			r.T.Errorf("one client port is answered by %s", got)
		}
		hasRow(r, "-ln", fmt.Sprintf("-> %s Masq 1 0 0", net.JoinHostPort(f.RIPs[0], "7")))
		if list := r.Adm("-lnc"); strings.Contains(list, ":7000") {
			r.T.Errorf("a connection is kept:\n%s", list)
		}
	})
	r.Stop()
}

// A tenth of the slow start is an hour here: both servers are in their first.
func TestServersThatStartSlowlyTogetherShareAsEver(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct("--slow-start", "10h")
	f := r.V4()
	rules := f.Services("-t", "80", "wrr", "8080")
	r.Rules(rules[:2]...)
	r.Adm("-e" + strings.TrimPrefix(rules[1], "-a") + " -w 0")
	for _, step := range []struct {
		rule          string
		first, second int
	}{{rules[2] + " -w 3", 0, 30}, {"-e" + strings.TrimPrefix(rules[1], "-a") + " -w 3", 15, 15}} {
		r.Rules(step.rule)
		answers := map[string]int{}
		for range step.first + step.second {
			server, _, _ := strings.Cut(r.Curl(r.Client, url(f.VIP, "80")), " ")
			answers[server]++
		}
		if answers["server1"] != step.first || answers["server2"] != step.second {
			t.Errorf("after %q: %v", step.rule, answers)
		}
	}
	hasRow(r, "-ln", fmt.Sprintf("-> %s:8080 Masq 3 * *", f.RIPs[0]))
	r.Stop()
}

func TestADatagramLeavesAServerThatIsDeleted(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Echo("7")
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		r.Rules(f.Services("-u", "7000", "rr", "7")...)
		c, err := r.Client.Dial(r.T.Context(), "udp", net.JoinHostPort(f.VIP, "7000"))
		r.Must(err)
		defer c.Close()
		for _, want := range []string{"server2", "server2", "server1", "server1"} {
			if want == "server1" {
				// Refused the second time: it is gone.
				r.TryAdm("", fmt.Sprintf("-d -u %s -r %s", net.JoinHostPort(f.VIP, "7000"), net.JoinHostPort(f.RIPs[1], "7")))
			}
			c.SetDeadline(time.Now().Add(rig.Patience))
			_, err := c.Write([]byte("hello"))
			r.Must(err)
			buf := make([]byte, 100)
			n, err := c.Read(buf)
			r.Must(err)
			if got := string(buf[:n]); got != want+" hello" {
				r.T.Errorf("%q, want %s", got, want)
			}
		}
	})
	r.Stop()
}

func TestThresholdsRefuseWhatIsTooMuch(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct("--workers", "1")
	f := r.V4()
	r.Rules(
		fmt.Sprintf("-A -t %s:80 -s rr", f.VIP),
		fmt.Sprintf("-a -t %s:80 -r %s:8080 -m -x 2", f.VIP, f.RIPs[0]),
		fmt.Sprintf("-a -t %s:80 -r %s:8080 -m -x 4 -y 2", f.VIP, f.RIPs[1]))
	r.Hold(r.Client, 6, net.JoinHostPort(f.VIP, "80"))
	if c, err := r.Client.Dial(t.Context(), "tcp", net.JoinHostPort(f.VIP, "80")); err == nil {
		c.Close()
		t.Error("a seventh connection is served")
	} else if !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
	hasRow(r, "-ln --thresholds", fmt.Sprintf("-> %s:8080 2 0 2 0", f.RIPs[0]))
	hasRow(r, "-ln --thresholds", fmt.Sprintf("-> %s:8080 4 2 4 0", f.RIPs[1]))
	r.Stop()
}
