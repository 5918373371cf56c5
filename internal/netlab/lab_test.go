package netlab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long something is waited for before a test fails.
const patience = 30 * time.Second

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
}

// lab returns a network that the end of the test removes, and checks that
// nothing of it remains.
func lab(t *testing.T, lay func() (*Net, error)) *Net {
	needRoot(t)
	n, err := lay()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close lab: %v", err)
		}
		if left, _ := filepath.Glob(namespaces + "/" + prefix + n.ID + "-*"); left != nil {
			t.Errorf("namespaces left: %v", left)
		}
	})
	return n
}

// answer listens on a host and says the host's name to everyone who connects.
func answer(t *testing.T, h *Host, address string) {
	l, err := h.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, h.Name)
			c.Close()
		}
	}()
}

// ask connects from a host and returns what it is told.
func ask(h *Host, address string) (string, error) { return askWithin(patience, h, address) }

func askWithin(limit time.Duration, h *Host, address string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	b, err := io.ReadAll(c)
	return string(b), err
}

func TestTopologiesCarryTrafficWhenTheDirectorForwards(t *testing.T) {
	for name, lay := range map[string]func() (*Net, error){"two NICs": TwoNIC, "one network": OneNet} {
		t.Run(name, func(t *testing.T) {
			n := lab(t, lay)
			for i, s := range n.Servers {
				for _, rip := range []string{n.RIPs[i], n.RIP6s[i]} {
					address := net.JoinHostPort(rip, "80")
					answer(t, s, address)
					if got, err := ask(n.Director, address); err != nil || got != s.Name {
						t.Errorf("director asks %s: %q, %v", address, got, err)
					}
				}
			}
			// Without forwarding no server is in reach of the client: on one
			// network it hears the client and its answer goes to the director.
			if got, err := askWithin(time.Second, n.Client, n.RIPs[0]+":80"); err == nil {
				t.Errorf("client reaches server past the director: %q", got)
			}
			for _, name := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
				if err := n.Director.Sysctl(name, "1"); err != nil {
					t.Fatal(err)
				}
			}
			for i, s := range n.Servers {
				if err := errors.Join(n.Client.Route(n.RIPs[i]+"/32", n.Gateway, "eth0"), n.Client.Route(n.RIP6s[i]+"/128", n.Gateway6, "eth0")); err != nil {
					t.Fatal(err)
				}
				for _, rip := range []string{n.RIPs[i], n.RIP6s[i]} {
					if got, err := ask(n.Client, net.JoinHostPort(rip, "80")); err != nil || got != s.Name {
						t.Errorf("client asks %s: %q, %v", rip, got, err)
					}
				}
			}
		})
	}
}

func TestNftablesCanStandInForTheDirector(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("nft is not installed")
	}
	n := lab(t, TwoNIC)
	for i, s := range n.Servers {
		answer(t, s, n.RIPs[i]+":8080")
	}
	if err := n.Director.Address("pub0", n.VIP+"/32"); err != nil {
		t.Fatal(err)
	}
	if _, err := askWithin(time.Second, n.Client, n.VIP+":80"); err == nil {
		t.Error("the VIP answers without a director")
	}
	if err := n.Director.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	rules := "add table ip t\nadd chain ip t c { type nat hook prerouting priority -100; }\n" +
		"add rule ip t c ip daddr " + n.VIP + " tcp dport 80 dnat to numgen inc mod 2 map { 0 : " + n.RIPs[0] + ", 1 : " + n.RIPs[1] + " } : 8080\n"
	nft := exec.Command("nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules)
	if out, err := n.Director.Output(nft); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	var last string
	for range 6 {
		got, err := ask(n.Client, n.VIP+":80")
		if err != nil || got == last {
			t.Fatalf("%q after %q, %v", got, last, err)
		}
		last = got
	}
}

func TestProgramsSeeTheirHost(t *testing.T) {
	n := lab(t, TwoNIC)
	n.Director.Files["/etc/hosts"] = "172.25.254.2 web1\n"
	out, err := n.Director.Run(t.Context(), "sh", "-c", "ls /sys/class/net; cat /etc/hosts; ls /proc/sys/net/ipv4/conf")
	if err != nil {
		t.Fatal(err, out)
	}
	for _, want := range []string{"pub0", "priv0", "web1"} {
		if !strings.Contains(out, want) {
			t.Errorf("a program of the director does not see %s in\n%s", want, out)
		}
	}
	if text, _ := os.ReadFile("/etc/hosts"); bytes.Contains(text, []byte("web1")) {
		t.Error("the machine's /etc/hosts was changed")
	}
}

func TestStopIsSigtermAndThenKill(t *testing.T) {
	n := lab(t, TwoNIC)
	polite := exec.Command("sleep", "1000")
	p, err := n.Client.Start(polite)
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.Stop(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("stop: %v", err)
	}
	if err := unix.Kill(p.PID(), 0); err != unix.ESRCH {
		t.Errorf("process is still there: %v", err)
	}
}

func TestRawFramesPassTheStack(t *testing.T) {
	n := lab(t, TwoNIC)
	out, err := n.Client.Raw("eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := n.Director.Raw("pub0")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	frame := bytes.Repeat([]byte{0x88}, 60)
	before, err := n.Director.Counters("pub0")
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Send(frame); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	for deadline := time.Now().Add(patience); ; {
		k, err := in.Receive(buf, deadline)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(buf[:k], frame) {
			break
		}
	}
	after, err := n.Director.Counters("pub0")
	if err != nil || after.RxPackets <= before.RxPackets {
		t.Errorf("counters: %d frames, then %d, %v", before.RxPackets, after.RxPackets, err)
	}
}

func TestSnmpCounters(t *testing.T) {
	text := "Tcp: A InErrs InCsumErrors\nTcp: 1 2 3\nUdp: InCsumErrors\nUdp: 4\nUdp6InCsumErrors   \t5\n"
	for _, c := range []struct {
		protocol, counter string
		want              uint64
		ok                bool
	}{
		{"Tcp", "InCsumErrors", 3, true},
		{"Udp6", "InCsumErrors", 5, true},
		{"Tcp", "Missing", 0, false},
		{"Sctp", "InCsumErrors", 0, false},
	} {
		if got, ok := snmpValue(text, c.protocol, c.counter); got != c.want || ok != c.ok {
			t.Errorf("%s %s: %d, %v", c.protocol, c.counter, got, ok)
		}
	}
	n := lab(t, TwoNIC)
	if _, err := n.Client.Snmp("Tcp", "InCsumErrors"); err != nil {
		t.Error(err)
	}
	if _, err := n.Client.Snmp("Udp6", "InCsumErrors"); err != nil {
		t.Error(err)
	}
}

// TestMain lays out a network and waits to be killed when asked to.
func TestMain(m *testing.M) {
	if os.Getenv("NETLAB_WAIT") == "" {
		os.Exit(m.Run())
	}
	n, err := TwoNIC()
	if err != nil {
		os.Exit(1)
	}
	if _, err := n.Client.Start(exec.Command("sleep", "1000")); err != nil {
		os.Exit(1)
	}
	os.Stdout.WriteString("laid out\n")
	select {}
}

func TestTheNextRunRemovesWhatAKilledOneLeft(t *testing.T) {
	needRoot(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "NETLAB_WAIT=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 9)); err != nil {
		t.Fatal("the other run did not come up")
	}
	pattern := prefix + strconv.Itoa(cmd.Process.Pid) + "*"
	cmd.Process.Kill()
	// Until it is waited for it is there, and no test beside this one sweeps.
	left, _ := filepath.Glob(filepath.Join(namespaces, pattern))
	cmd.Wait()
	if len(left) != 5 {
		t.Fatalf("a killed run leaves its hosts: %v", left)
	}
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{namespaces, dirs} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); left != nil {
			t.Errorf("sweep left %v", left)
		}
	}
}
