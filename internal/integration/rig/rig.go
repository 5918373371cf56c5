// Package rig runs the real director, real servers and real clients in a
// network of namespaces, for the integration tests in the folders beside it:
// one folder a topology. It counts what happens from outside, by the kernel's
// counters of the clients and servers.
package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/netlab"
)

// Patience is how long a condition is waited for before a test fails: others
// may use the same cores.
const Patience = 30 * time.Second

// Rig is a laid-out network with a director in it.
type Rig struct {
	*netlab.Net
	T      *testing.T
	Socket string // of the director

	director *netlab.Process
	runs     int    // how often the director was started
	log      string // of the last start
}

// New lays out a network that the end of the test removes. The VIPs are put
// where an administrator would put them.
func New(t *testing.T, lay func() (*netlab.Net, error)) *Rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces and AF_XDP need root")
	}
	Executable(t)
	n, err := lay()
	if err != nil {
		t.Fatal(err)
	}
	r := &Rig{Net: n, T: t, Socket: filepath.Join(n.Dir, "lvx.sock")}
	t.Cleanup(r.close)
	r.Must(
		n.Director.Address(n.Public, n.VIP+"/32"),
		n.Director.Address(n.Public, n.VIP6+"/128"))
	return r
}

// close stops the director, unless the test did, and removes the network.
func (r *Rig) close() {
	defer r.leave()
	if r.director != nil && r.director.Running() {
		r.Stop()
	}
}

// leave shows the director's logs if the test has failed, and removes the
// network.
func (r *Rig) leave() {
	if r.T.Failed() {
		logs, _ := filepath.Glob(filepath.Join(r.Dir, "director*.log"))
		for _, log := range logs {
			text, _ := os.ReadFile(log)
			r.T.Logf("%s:\n%s", filepath.Base(log), text)
		}
	}
	if err := r.Net.Close(); err != nil {
		r.T.Errorf("close lab: %v", err)
	}
}

// Must fails the test if one of errs is an error.
func (r *Rig) Must(errs ...error) {
	r.T.Helper()
	if err := errors.Join(errs...); err != nil {
		r.T.Fatal(err)
	}
}

// built is the director's binary, built once for all tests of a package.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("LVX_BINARY"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "lvx-binary-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "lvx")
	out, err := exec.Command("go", "build", "-o", path, "github.com/lvx-lb/lvx/cmd/lvx").CombinedOutput()
	if err != nil {
		err = errors.New(err.Error() + ": " + string(out))
	}
	return path, err
})

// Executable builds ./cmd/lvx and returns its path. LVX_BINARY names one to test in its place, as one
// built with -race.
func Executable(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatalf("build cmd/lvx: %v", err)
	}
	return path
}

// Main runs the tests of a package and removes the binary they built.
func Main(m *testing.M) {
	// Who starts the tests may ignore it, and so would all that they start.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	code := m.Run()
	if path, err := built(); err == nil && os.Getenv("LVX_BINARY") == "" {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// TryRun runs `lvx run`, which is expected to end at once, and returns what it
// printed.
func (r *Rig) TryRun(args ...string) (string, error) {
	return r.lvx("", append([]string{"run", "--socket", r.Socket}, args...)...)
}

// Start starts another lvx command that asks the running director.
func (r *Rig) Start(args ...string) *netlab.Process {
	r.T.Helper()
	cmd := exec.Command(Executable(r.T), args...)
	cmd.Env = append(os.Environ(), "LVX_SOCKET="+r.Socket)
	p, err := r.Director.Start(cmd)
	r.Must(err)
	return p
}

// Log returns what the director has logged.
func (r *Rig) Log() string {
	r.T.Helper()
	text, err := os.ReadFile(r.log)
	r.Must(err)
	return string(text)
}

// Direct starts the director on the topology's NICs with further arguments.
func (r *Rig) Direct(args ...string) {
	r.T.Helper()
	nics := []string{"--public", r.Public, "--private", r.Private}
	if r.Private == "" {
		nics = []string{"--nic", r.Public}
	}
	args = append(append([]string{"run", "--socket", r.Socket}, nics...), args...)
	r.runs++
	r.log = filepath.Join(r.Dir, fmt.Sprintf("director%d.log", r.runs))
	log, err := os.Create(r.log)
	r.Must(err)
	defer log.Close()
	cmd := exec.Command(Executable(r.T), args...)
	cmd.Stderr = log
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	r.director, err = r.Director.StartReady(ctx, cmd)
	r.Must(err)
}

// Stop ends the director in order; a status other than 0 fails the test.
func (r *Rig) Stop() {
	r.T.Helper()
	r.Balanced()
	if err := r.director.Stop(); err != nil {
		r.T.Errorf("director: %v", err)
	}
}

// Kill ends the director without notice.
func (r *Rig) Kill() {
	r.director.Signal(syscall.SIGKILL)
	<-r.director.Done()
}

// Hangup ends the director as the end of its terminal does.
func (r *Rig) Hangup() error {
	if err := r.director.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	return r.director.Wait()
}

// PID is the director's process id.
func (r *Rig) PID() int { return r.director.PID() }

// Adm runs `lvx adm`, given as one line, in the director and returns what it
// printed. An error fails the test.
func (r *Rig) Adm(line string) string {
	r.T.Helper()
	out, err := r.TryAdm("", line)
	if err != nil {
		r.T.Fatalf("lvx adm %s: %v: %s", line, err, out)
	}
	return out
}

// TryAdm runs `lvx adm` with something to read.
func (r *Rig) TryAdm(stdin, line string) (string, error) {
	return r.lvx(stdin, append([]string{"adm"}, strings.Fields(line)...)...)
}

// Mark runs `lvx mark`, given as one line, and returns what it printed. An
// error fails the test.
func (r *Rig) Mark(line string) string {
	r.T.Helper()
	out, err := r.lvx("", append([]string{"mark"}, strings.Fields(line)...)...)
	if err != nil {
		r.T.Fatalf("lvx mark %s: %v: %s", line, err, out)
	}
	return out
}

// Try runs a command of lvx that reads stdin and finds the director by itself.
func (r *Rig) Try(stdin string, args ...string) (string, error) { return r.lvx(stdin, args...) }

// Rules adds services and servers, one command a line as `ipvsadm -R` reads
// them.
func (r *Rig) Rules(lines ...string) {
	r.T.Helper()
	if out, err := r.TryAdm(strings.Join(lines, "\n")+"\n", "-R"); err != nil {
		r.T.Fatalf("lvx adm -R: %v: %s", err, out)
	}
}

// Balanced compares both sides of the frame balance that `lvx info` prints.
// Several workers are asked one after the other: a frame that goes from one to
// the next meanwhile is missing, or counts twice.
func (r *Rig) Balanced() {
	r.T.Helper()
	var balance string
	var balanced bool
	r.Until("an end of what goes on", func() bool {
		var received, originated, transmitted, dropped, passed, held uint64
		workers, frames, _ := strings.Cut(r.Info(), "frames: ")
		_, err := fmt.Sscanf(frames, "received %d + originated %d = transmitted %d + dropped %d + passed up %d + held %d",
			&received, &originated, &transmitted, &dropped, &passed, &held)
		r.Must(err)
		balance, balanced = frames, received+originated == transmitted+dropped+passed+held
		return balanced || !strings.Contains(workers, " workers, ")
	})
	if !balanced {
		r.T.Errorf("frame balance: %s", balance)
	}
}

// Info returns what `lvx info` prints.
func (r *Rig) Info() string {
	r.T.Helper()
	out, err := r.lvx("", "info", "--socket", r.Socket)
	if err != nil {
		r.T.Fatalf("lvx info: %v: %s", err, out)
	}
	return out
}

func (r *Rig) lvx(stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, Executable(r.T), args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "LVX_SOCKET="+r.Socket)
	return r.Director.Output(cmd)
}

// Until waits for a condition.
func (r *Rig) Until(what string, holds func() bool) {
	r.T.Helper()
	for deadline := time.Now().Add(Patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.T.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Family is one IP version of a topology.
type Family struct {
	Name          string
	VIP, CIP, DIP string
	RIPs          []string
}

// V4 returns the topology's IPv4 addresses.
func (r *Rig) V4() Family { return Family{"IPv4", r.VIP, r.CIP, r.DIP, r.RIPs} }

// V6 returns the topology's IPv6 addresses.
func (r *Rig) V6() Family { return Family{"IPv6", r.VIP6, r.CIP6, r.DIP6, r.RIP6s} }

// Families runs a part of the test for either IP version.
func (r *Rig) Families(do func(r *Rig, f Family)) {
	for _, f := range []Family{r.V4(), r.V6()} {
		r.Part(f.Name, func(r *Rig) { do(r, f) })
	}
}

// Part runs a part of the test with the same network and director.
func (r *Rig) Part(name string, do func(r *Rig)) {
	r.T.Run(name, func(t *testing.T) {
		part := *r
		part.T = t
		do(&part)
	})
}

// Services returns the rules of one service with all servers of the family,
// added in order. A weight follows the real port where options holds one a
// server.
func (f Family) Services(protocol, virtual, scheduler, real string, options ...string) []string {
	vip := net.JoinHostPort(f.VIP, virtual)
	rules := []string{"-A " + protocol + " " + vip + " -s " + scheduler}
	for i, rip := range f.RIPs {
		rule := "-a " + protocol + " " + vip + " -r " + net.JoinHostPort(rip, real) + " -m"
		if i < len(options) {
			rule += " " + options[i]
		}
		rules = append(rules, rule)
	}
	return rules
}
