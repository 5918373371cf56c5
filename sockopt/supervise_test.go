package sockopt

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/service"
)

func TestACommandKeepsItsFilesAndItsStatus(t *testing.T) {
	s := newStage(t, made(t))
	if r := s.runWith("word", "sh", "-c", "cat; echo no >&2; exit 7"); r != (result{7, "word", "no\n"}) {
		t.Errorf("%+v", r)
	}
	if r := s.run("sh", "-c", "kill -9 $$"); r.status != 128+9 {
		t.Errorf("killed: %+v", r)
	}
	bare := exec.Command("sh", "-c", "ls -l /proc/self/fd | wc -l; ulimit -n; grep Sig[BIC] /proc/self/status")
	want, err := bare.Output()
	if err != nil {
		t.Fatal(err)
	}
	s.wants(string(want), bare.Args...)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("\x7fELFno"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := s.run(text); r.status != 126 || !strings.Contains(r.err, "exec format error") {
		t.Errorf("a program that is none: %+v", r)
	}
}

func TestWhatIsIgnoredStaysIgnored(t *testing.T) {
	s := newStage(t, &double{})
	inner := s.command("sh", "-c", "grep SigIgn /proc/self/status")
	cmd := exec.Command("sh", "-c", `trap "" INT HUP; exec "$@"`, "sh")
	cmd.Args = append(cmd.Args, inner.Args...)
	// Whoever started the test may ignore others.
	out, err := cmd.Output()
	var ignored uint64
	if _, scanned := fmt.Sscanf(string(out), "SigIgn:\t%x\n", &ignored); err != nil || scanned != nil || ignored&3 != 3 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestAFilterThatCannotBeInstalledIsExplained(t *testing.T) {
	s := newStage(t, &double{})
	need(t, "setpriv")
	inner := s.command("true").Args
	cmd := exec.Command("setpriv", append([]string{"--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"}, inner...)...)
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 126 || !strings.Contains(string(out), "CAP_SYS_ADMIN is needed") {
		t.Errorf("without CAP_SYS_ADMIN: %v, %s", cmd.ProcessState, out)
	}
	if r := s.run(inner...); r.status != 126 || !strings.Contains(r.err, "another supervisor") {
		t.Errorf("a supervisor under another: %+v", r)
	}
}

func TestWithoutADirectorNothingIsRun(t *testing.T) {
	s := newStage(t, made(t))
	s.socket += ".none"
	if r := s.run("echo", "ran"); r.status != 125 || r.out != "" || !strings.Contains(r.err, "no director") {
		t.Errorf("%+v", r)
	}
}

func TestFilesAreReadByAnyName(t *testing.T) {
	s := newStage(t, made(t))
	line := "TCP  C000020A:0050 wrr  \n  -> 0A00000B:1F90      Masq    3      5          250000    \n"
	s.wants(line, "cat", "/proc/net/ip_vs")
	s.wants(line, "cat", "/proc/self/net/ip_vs")
	s.wants(line, "sh", "-c", "cd /proc/net && cat ip_vs")
	s.wants("CB007105 C001", "cat", "/proc/thread-self/net/ip_vs_conn")
	s.wants("       9        C        0", "cat", "/proc/net/ip_vs_stats")
	if r := s.run("cat", "/proc/net/ip_vs_app"); r.status != 1 || !strings.Contains(r.err, "No such file") {
		t.Errorf("a file that nobody answers: %+v", r)
	}
	s.wants("", child("scarce")...)
}

func TestBadCallsAreRefusedAsByTheKernel(t *testing.T) {
	s := newStage(t, plain(t))
	before := len(s.edits())
	s.wants("", child("probe")...)
	s.wants("", child("sizes")...)
	s.wants("", child("guard")...)
	if n := len(s.edits()) - before; n != 0 {
		t.Errorf("%d edits", n)
	}
}

// What is judged is what is done: the director never sees a rule that the
// judge would have refused.
func TestABufferThatChangesIsReadOnce(t *testing.T) {
	s := newStage(t, &double{})
	r := s.run(child("rewrite", "2000")...)
	if r.status != 0 {
		t.Fatalf("%+v", r)
	}
	t.Log(r.out)
	if len(s.edits()) < 10 {
		t.Errorf("only %d edits", len(s.edits()))
	}
	for _, e := range s.edits() {
		if e.Service.Protocol != service.TCP || e.Service.Scheduler != "rr" && e.Op == service.AddService {
			t.Fatalf("edit %+v", e)
		}
	}
	s.wants("", child("rewrite-path", "3000")...)
}

func TestASignalRepeatsNothing(t *testing.T) {
	s := newStage(t, &double{})
	const count = 2000
	if r := s.run(child("storm", strconv.Itoa(count))...); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	if n := len(s.edits()); n != count {
		t.Errorf("%d edits for %d calls", n, count)
	}
}

func TestACallerMayDieInACall(t *testing.T) {
	d := &double{arrived: make(chan struct{}), release: make(chan struct{})}
	s := newStage(t, d)
	adding := strings.Join(child("add", "1"), " ")
	cmd := s.command("sh", "-c", adding+" & echo $!; wait $!; echo ended $?; "+strings.Join(child("add", "2"), " ")+"; echo added $?")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	lines := bufio.NewScanner(out)
	lines.Scan()
	pid, err := strconv.Atoi(lines.Text())
	if err != nil {
		t.Fatal(err)
	}
	<-d.arrived // the call is at the director
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if lines.Scan(); lines.Text() != "ended 137" {
		t.Errorf("the caller %s", lines.Text())
	}
	d.release <- struct{}{}
	<-d.arrived
	d.release <- struct{}{}
	if lines.Scan(); lines.Text() != "added 0" {
		t.Errorf("the next caller %s", lines.Text())
	}
	if n := len(s.edits()); n != 2 {
		t.Errorf("%d edits", n)
	}
}

func TestADaemonIsAnsweredToItsEnd(t *testing.T) {
	s := newStage(t, &double{})
	go_ := filepath.Join(t.TempDir(), "go")
	if err := unix.Mkfifo(go_, 0o600); err != nil {
		t.Fatal(err)
	}
	// The daemon is a grandchild with no terminal, and waits until its
	// parents are gone.
	daemon := fmt.Sprintf("setsid sh -c '(read line <%s; %s; exec sleep 0.01) </dev/null >/dev/null 2>&1 &'; exit 3", go_, strings.Join(child("add", "9"), " "))
	cmd := s.command("sh", "-c", daemon)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(go_, os.O_WRONLY, 0) // waits for the daemon
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(w, "go")
	w.Close()
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("ended with %v", err)
	}
	if n := len(s.edits()); n != 1 {
		t.Errorf("%d edits", n)
	}
}

func TestSignalsReachTheCommandOrItsDaemons(t *testing.T) {
	s := newStage(t, &double{})
	body := `trap "echo hup" HUP; trap "exit 5" TERM; echo up; while :; do sleep 0.02; done`
	for what, c := range map[string]struct {
		script string
		status int
	}{
		"command": {body, 5},
		"daemon":  {"setsid sh -c '" + body + "' & exit 4", 4},
	} {
		cmd := s.command("sh", "-c", c.script)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		lines.Scan()
		if what == "daemon" {
			awaitOrphan(t, cmd.Process.Pid)
		}
		cmd.Process.Signal(unix.SIGHUP)
		if lines.Scan(); lines.Text() != "hup" {
			t.Errorf("%s: %q after SIGHUP", what, lines.Text())
		}
		cmd.Process.Signal(unix.SIGTERM)
		if cmd.Wait(); cmd.ProcessState.ExitCode() != c.status {
			t.Errorf("%s: ended with %v", what, cmd.ProcessState)
		}
	}
}

// awaitOrphan waits until the command has ended and left one child behind.
func awaitOrphan(t *testing.T, supervisor int) {
	for {
		kids := childrenOf(supervisor)
		if len(kids) == 1 {
			if group, _ := unix.Getpgid(kids[0]); group == kids[0] {
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRightsAreThoseOfTheCaller(t *testing.T) {
	s := newStage(t, made(t))
	need(t, "ipvsadm")
	need(t, "setpriv")
	for _, how := range [][]string{
		{"setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"},
		{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"},
		{"unshare", "-U", "-r"}, // all capabilities, in a namespace of its own
	} {
		r := s.run(append(how, "ipvsadm", "-A", "-t", "192.0.2.77:80")...)
		if r.status == 0 || !strings.Contains(r.err, "ermi") {
			t.Errorf("%v: %+v", how, r)
		}
	}
	s.wants("C000020A:0050", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "cat", "/proc/net/ip_vs")
}

func TestA32BitProgramFindsNoIPVS(t *testing.T) {
	s := newStage(t, &double{})
	if runtime.GOARCH != "amd64" {
		t.Skip("built for i386, run on amd64")
	}
	program := filepath.Join(t.TempDir(), "child32")
	build := exec.Command("go", "build", "-o", program, "./testdata/child32")
	build.Env = append(os.Environ(), "GOARCH=386", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("no 32-bit program: %v\n%s", err, out)
	}
	if err := exec.Command(program).Run(); err != nil {
		t.Skipf("this kernel runs no 32-bit programs: %v", err)
	}
	want := `socketcall: protocol not available
getsockopt: protocol not available
setsockopt: protocol not available
generic netlink: protocol not supported
finit_module: operation not permitted
else: <nil>
`
	if r := s.run(program); r != (result{0, want, ""}) {
		t.Errorf("%+v", r)
	}
}
