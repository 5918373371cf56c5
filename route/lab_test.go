package route

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// lab is two namespaces without names, joined by the veth pair near - far. The
// director side has 10.0.0.1/24 and 2001:db8::1/64, the other .2 and ::2.
type lab struct {
	t         testing.TB
	near, far *namespace
	log       *logbook
}

func newLab(t testing.TB) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	l := &lab{t: t, near: freshNamespace(t), far: freshNamespace(t), log: &logbook{}}
	l.run(l.near, "ip link set lo up", "ip link add near type veth peer name far")
	l.move("far")
	l.run(l.near, "sysctl -qw net.ipv6.conf.near.accept_dad=0", "ip link set near up",
		"ip addr add 10.0.0.1/24 dev near", "ip addr add 2001:db8::1/64 dev near nodad")
	l.run(l.far, "ip link set lo up", "ip link set far up",
		"ip addr add 10.0.0.2/24 dev far", "ip addr add 2001:db8::2/64 dev far nodad")
	return l
}

func freshNamespace(t testing.TB) *namespace {
	t.Helper()
	home, err := openNamespace(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer home.close()
	var n *namespace
	err = home.do(func() error {
		h, err := netns.New()
		n = &namespace{h}
		if err != nil {
			return err
		}
		return netns.Set(home.handle)
	})
	if err != nil {
		t.Fatalf("make network namespace: %v", err)
	}
	t.Cleanup(n.close)
	return n
}

// move gives a link of the near namespace to the far one.
func (l *lab) move(link string) {
	l.t.Helper()
	err := l.far.do(func() error {
		// The child stays in far while ip names it by process id.
		c := exec.Command("sleep", "60")
		if err := c.Start(); err != nil {
			return err
		}
		defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
		return l.near.do(func() error {
			return command("ip link set " + link + " netns " + itoa(c.Process.Pid))
		})
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) run(n *namespace, lines ...string) {
	l.t.Helper()
	for _, line := range lines {
		if err := n.do(func() error { return command(line) }); err != nil {
			l.t.Fatal(err)
		}
	}
}

// output returns what a command printed.
func (l *lab) output(n *namespace, line string) string {
	var out []byte
	_ = n.do(func() error { out, _ = exec.Command("sh", "-c", line).CombinedOutput(); return nil })
	return string(out)
}

// try is run for what the kernel may lack; it skips the test.
func (l *lab) try(n *namespace, line string) {
	l.t.Helper()
	if err := n.do(func() error { return command(line) }); err != nil {
		l.t.Skipf("the kernel cannot: %v", err)
	}
}

func command(line string) error {
	out, err := exec.Command("sh", "-c", line).CombinedOutput()
	if err != nil {
		return &commandError{line, strings.TrimSpace(string(out)), err}
	}
	return nil
}

type commandError struct {
	line, out string
	err       error
}

func (e *commandError) Error() string { return e.line + ": " + e.out + ": " + e.err.Error() }

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func (l *lab) open(cfg Config) *Mirror { l.t.Helper(); return l.openAt(l.near, cfg) }

func (l *lab) openAt(n *namespace, cfg Config) *Mirror {
	l.t.Helper()
	cfg.Netns = int(n.handle)
	cfg.Log = slog.New(slog.NewTextHandler(l.log, nil))
	m, err := Open(context.Background(), cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = m.Close() })
	return m
}

// index returns the number of a link.
func (l *lab) index(m *Mirror, name string) int {
	l.t.Helper()
	link, err := m.LinkByName(name)
	if err != nil {
		l.t.Fatal(err)
	}
	return link.Index
}

// logbook remembers what was logged.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logbook) count(s string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.text.String(), s)
}

// patience is how long something is waited for before a test fails.
const patience = 30 * time.Second

// eventually waits until ok, and fails with what was seen last.
func eventually(t testing.TB, what string, ok func() (seen any, done bool)) {
	t.Helper()
	var seen any
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		var done bool
		if seen, done = ok(); done {
			return
		}
	}
	t.Fatalf("%s: not so after %v; last seen %+v", what, patience, seen)
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// TestMain fails when goroutines outlive the mirrors that made them.
func TestMain(m *testing.M) {
	code := m.Run()
	for end := time.Now().Add(patience); code == 0; time.Sleep(5 * time.Millisecond) {
		left := leftOver()
		if left == "" {
			break
		}
		if time.Now().After(end) {
			fmt.Fprintln(os.Stderr, "a mirror's goroutine is left over:\n"+left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftOver finds a goroutine that runs a mirror or its listener.
func leftOver() string {
	b := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(stack, "route.(*Mirror)") || strings.Contains(stack, "route.(*listener)") {
			return stack
		}
	}
	return ""
}
