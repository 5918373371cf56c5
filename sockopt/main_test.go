package sockopt

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lvx-lb/lvx/admin"
)

// The test binary is also the supervisor, the child that becomes the command,
// and some of the commands.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "-supervise":
			os.Exit(supervise(os.Args[2], os.Args[3:]))
		case "-enter":
			fmt.Fprintln(os.Stderr, Enter(os.Args[2], os.Args[3:]))
			os.Exit(126)
		case "-child":
			if err := deeds[os.Args[2]](os.Args[3:]); err != nil {
				fmt.Fprintln(os.Stderr, os.Args[2]+":", err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	// Who starts the tests may ignore these, and so would all that they start.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	os.Exit(m.Run())
}

func supervise(socket string, args []string) int {
	path, err := exec.LookPath(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	status, err := Supervise(context.Background(), Command{
		Path: path, Args: args, Enter: []string{"-enter"}, Socket: socket, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "supervise:", err)
		return 125
	}
	return status
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("to install a filter needs root")
	}
}

func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(program + " is not installed")
	}
}

// stage is a director at a socket, and commands run under supervision.
type stage struct {
	*testing.T
	*double
	socket string
}

func newStage(t *testing.T, d *double) *stage {
	needRoot(t)
	s := &stage{t, d, filepath.Join(t.TempDir(), "lvx.sock")}
	server, err := admin.Listen(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, d) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// result is how a command ended.
type result struct {
	status   int
	out, err string
}

func (s *stage) command(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		s.Fatal(err)
	}
	return exec.Command(self, append([]string{"-supervise", s.socket}, args...)...)
}

func (s *stage) run(args ...string) result { return s.runWith("", args...) }

func (s *stage) runWith(stdin string, args ...string) result {
	s.Helper()
	cmd := s.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		s.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// child names a deed as a command.
func child(deed string, args ...string) []string {
	self, _ := os.Executable()
	return append([]string{self, "-child", deed}, args...)
}

// wants runs a command that must end with 0 and say so.
func (s *stage) wants(out string, args ...string) {
	s.Helper()
	if r := s.run(args...); r.status != 0 || r.err != "" || !strings.Contains(r.out, out) {
		s.Errorf("%v: %+v, want %q", args, r, out)
	}
}
