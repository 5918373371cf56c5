package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lvx-lb/lvx/sockopt"
)

// Exit codes of `lvx exec` where the command itself has none: those of a
// shell.
const (
	exitCannotRun = 126
	exitNotFound  = 127
)

// enterSupervision is what `lvx exec` calls itself with.
const enterSupervision = "--enter"

func runExec(ctx context.Context, args []string, std stdio) int {
	if len(args) > 2 && args[0] == enterSupervision {
		fail(std, sockopt.Enter(args[1], args[2:]))
		return exitCannotRun
	}
	var o *options
	socket, words, code, ok := asking("exec", args, std, -1, func(f *options) {
		o = f
		o.note = "IPv6 services are beyond these tools' socket options: configure them with lvx adm.\nThe exit code is the command's; 126 and 127 where it cannot run or is not there."
	})
	switch {
	case !ok:
		return code
	case len(words) == 0:
		return o.refuse("which command?")
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		fail(std, err)
		if errors.Is(err, fs.ErrPermission) {
			return exitCannotRun
		}
		return exitNotFound
	}
	// Scripts that the command runs mean the same director, wherever they run.
	if path, err := filepath.Abs(socket); err == nil {
		os.Setenv("LVX_SOCKET", path)
	}
	status, err := sockopt.Supervise(ctx, sockopt.Command{
		Path: path, Args: words, Enter: []string{"exec", enterSupervision}, Socket: socket,
		Log: slog.New(slog.NewTextHandler(std.err, nil)),
	})
	if err != nil {
		return fail(std, err)
	}
	return status
}
