package netlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// StartReady starts cmd inside the host and waits until it prints the line
// "ready" on its standard output. What it prints also goes to cmd.Stdout.
func (h *Host) StartReady(ctx context.Context, cmd *exec.Cmd) (*Process, error) {
	w := &awaited{to: cmd.Stdout, line: []byte("ready\n"), seen: make(chan struct{})}
	cmd.Stdout = w
	p, err := h.Start(cmd)
	if err != nil {
		return nil, err
	}
	select {
	case <-w.seen:
		return p, nil
	case <-p.Done():
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		return nil, fmt.Errorf("start %s in %s: it ended before it was ready: %w", cmd.Path, h.Name, p.err)
	case <-ctx.Done():
		p.Stop()
		return nil, fmt.Errorf("start %s in %s: not ready: %w", cmd.Path, h.Name, ctx.Err())
	}
}

// awaited watches what is written for one line.
type awaited struct {
	to   io.Writer
	line []byte
	tail []byte // the unfinished line
	seen chan struct{}
	done bool
}

func (w *awaited) Write(b []byte) (int, error) {
	w.tail = append(w.tail, b...)
	for !w.done {
		end := bytes.IndexByte(w.tail, '\n') + 1
		if end == 0 {
			break
		}
		if bytes.Equal(w.tail[:end], w.line) {
			w.done = true
			close(w.seen)
		}
		w.tail = w.tail[end:]
	}
	if w.done {
		w.tail = nil
	}
	if w.to == nil {
		return len(b), nil
	}
	return w.to.Write(b)
}
