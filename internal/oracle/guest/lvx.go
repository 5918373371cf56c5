package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/internal/oracle/record"
	"golang.org/x/sys/unix"
)

const (
	lvxPath   = "/usr/bin/lvx"
	lvxLog    = "/tmp/lvx.log"
	lvxSocket = "/run/lvx-live.sock"
)

// program is lvx in the namespace of the calling thread, started anew for each
// scenario.
type program struct {
	options []string
	running *exec.Cmd
	asked   bool // by a process of its own, since it was started
}

// renew starts lvx and waits until it forwards.
func (p *program) renew() error {
	if err := p.end(); err != nil {
		return err
	}
	log, err := os.Create(lvxLog)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(lvxPath, append([]string{"run", "--socket", lvxSocket}, p.options...)...)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start lvx: %w", err)
	}
	p.running, p.asked = cmd, false
	if word, _ := bufio.NewReader(out).ReadString('\n'); word != "ready\n" {
		return fmt.Errorf("start lvx: it says %q: %s", word, said())
	}
	return nil
}

// end ends lvx as systemd would. Its frames must be accounted for.
func (p *program) end() error {
	if p.running == nil {
		return nil
	}
	balance := balanced()
	err := p.running.Process.Signal(unix.SIGTERM)
	if err == nil {
		err = p.running.Wait()
	}
	if p.running = nil; err != nil {
		err = fmt.Errorf("end lvx: %w: %s", err, said())
	}
	return errors.Join(balance, err)
}

// balanced checks that every frame is accounted for, and that the kernel took
// all that was passed up.
func balanced() error {
	ctx := context.Background()
	c, err := admin.Dial(ctx, lvxSocket)
	if err != nil {
		return err
	}
	info, err := c.Info(ctx)
	n := info.Counters
	if err == nil && (n["received"]+n["originated"] != n["transmitted"]+n["dropped"]+n["passed-up"]+n["held"] || n["upward-failed"] > 0) {
		err = fmt.Errorf("frames of the scenario before are not accounted for: %v", n)
	}
	return err
}

// said is what lvx has said about itself.
func said() string {
	text, _ := os.ReadFile(lvxLog)
	return string(text)
}

// command has lvx do what ipvsadm or sysctl would. The first command of a
// scenario is given to the program, called ipvsadm; others are spared the start
// of a process and carried out here as the program does.
func (p *program) command(words []string, input string) (output string, code int, err error) {
	if !p.asked && words[0] == "ipvsadm" {
		p.asked = true
		cmd := exec.Command(lvxPath)
		cmd.Args, cmd.Env = words, append(os.Environ(), "LVX_SOCKET="+lvxSocket)
		return carryOut(cmd, input)
	}
	var screen bytes.Buffer
	ctx, in := context.Background(), strings.NewReader(input)
	switch words[0] {
	case "sysctl":
		code = admin.RunSysctl(ctx, words[2:], &screen, &screen, lvxSocket) // without -qw
	case "mark":
		code = admin.RunMark(ctx, words[1:], in, &screen, &screen, lvxSocket)
	default:
		code = admin.Run(ctx, words[1:], in, &screen, &screen, lvxSocket, admin.Names{})
	}
	return screen.String(), code, nil
}

// arriving says nothing of checksums: they are right.
func (p *program) arriving(f record.Frame) []byte { return append(make([]byte, headerLen), f...) }

// settles is for the frame to reach its worker, or the kernel by way of it.
func (p *program) settles() time.Duration { return 5 * time.Millisecond }

// list asks lvx as an administrator does.
func (p *program) list(r *record.Result) error {
	for _, l := range []struct {
		to      *[]string
		options string
		heading int
	}{{&r.Services, "-Ln --nosort", 3}, {&r.Conns, "-Lnc", 2}} {
		out, code, err := p.command(append([]string{"ipvsadm"}, strings.Fields(l.options)...), "")
		if err != nil || code != 0 {
			return fmt.Errorf("list with %s: status %d: %s %v", l.options, code, out, err)
		}
		*l.to = beheaded(out, l.heading)
	}
	return nil
}
