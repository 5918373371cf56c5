package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os/exec"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/sockopt"
)

// Exit codes of `lvx exec` where the command itself has none: those of a
// shell, and that of ipvsadm where there is no IPVS.
const (
	exitNoDirector = 2
	exitCannotRun  = 126
	exitNotFound   = 127
)

// enterSupervision is what `lvx exec` calls itself with.
const enterSupervision = "--enter"

func runExec(ctx context.Context, args []string, std stdio) int {
	if len(args) > 2 && args[0] == enterSupervision {
		fail(std, sockopt.Enter(args[1], args[2:]))
		return exitCannotRun
	}
	f := flag.NewFlagSet("lvx exec", flag.ContinueOnError)
	f.SetOutput(std.err)
	f.Usage = func() {
		fmt.Fprintln(std.err, "Usage: lvx exec [--socket PATH] [--] COMMAND [ARGS...]")
		fmt.Fprintln(std.err, "IPv6 services are beyond these tools' socket options: configure them with lvx adm.")
		f.PrintDefaults()
	}
	socket := f.String("socket", socketPath(), "`PATH` of the director's socket")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if f.NArg() == 0 {
		f.Usage()
		return exitUsage
	}
	path, err := exec.LookPath(f.Arg(0))
	if err != nil {
		fail(std, err)
		if errors.Is(err, fs.ErrPermission) {
			return exitCannotRun
		}
		return exitNotFound
	}
	status, err := sockopt.Supervise(ctx, sockopt.Command{
		Path: path, Args: f.Args(), Enter: []string{"exec", enterSupervision}, Socket: *socket,
		Log: slog.New(slog.NewTextHandler(std.err, nil)),
	})
	switch {
	case errors.Is(err, admin.ErrUnreachable):
		fail(std, fmt.Errorf("%w (is `lvx run` running?)", err))
		return exitNoDirector
	case err != nil:
		return fail(std, err)
	}
	return status
}
