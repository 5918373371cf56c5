package netlab

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// ends is how long a process has to end by itself after SIGTERM, and a link to
// come up.
const ends = 10 * time.Second

// Process is a running program of a host.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

type processes struct {
	mu   sync.Mutex
	list []*Process
}

// Start starts cmd inside the host. It dies with this program.
func (h *Host) Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = ends // a grandchild may hold the output open
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	// The death signal comes from the thread that started the child, so the
	// thread stays until the child has ended.
	go func() {
		err := h.Do(func() error {
			err := h.ownMounts()
			if err == nil {
				err = cmd.Start()
			}
			started <- err
			if err == nil {
				p.err = cmd.Wait()
				close(p.done)
			}
			return nil
		})
		if err != nil {
			started <- err
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s in %s: %w", cmd.Path, h.Name, err)
	}
	h.running.mu.Lock()
	h.running.list = append(h.running.list, p)
	h.running.mu.Unlock()
	return p, nil
}

// Run runs a program inside the host and returns what it printed on both
// outputs.
func (h *Host) Run(ctx context.Context, name string, args ...string) (string, error) {
	return h.Output(exec.CommandContext(ctx, name, args...))
}

// Output runs cmd inside the host and returns what it printed on both outputs.
func (h *Host) Output(cmd *exec.Cmd) (string, error) {
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := h.Start(cmd)
	if err != nil {
		return "", err
	}
	err = p.Wait()
	h.running.forget(p)
	return out.String(), err
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends sig to the process.
func (p *Process) Signal(sig syscall.Signal) error { return p.cmd.Process.Signal(sig) }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Wait waits for the end of the process and says how it ended.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Stop asks the process to end with SIGTERM, kills it if it does not, and
// says how it ended.
func (p *Process) Stop() error {
	if !p.Running() {
		return p.err
	}
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(ends):
		p.cmd.Process.Kill()
		<-p.done
		return errors.Join(fmt.Errorf("%s did not end by itself", p.cmd.Path), p.err)
	}
}

func (ps *processes) forget(p *Process) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for i, q := range ps.list {
		if q == p {
			ps.list = append(ps.list[:i], ps.list[i+1:]...)
			return
		}
	}
}

// end stops all processes, the last one started first.
func (ps *processes) end() {
	ps.mu.Lock()
	list := ps.list
	ps.list = nil
	ps.mu.Unlock()
	for i := len(list) - 1; i >= 0; i-- {
		list[i].Stop()
	}
}
