package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/internal/netlab"
)

const (
	callers = 64               // requests under way at once
	served  = 15 * time.Second // what a request may take
)

// Load is requests from the client at a steady rate, each over a connection
// of its own.
type Load struct {
	stop    chan struct{}
	done    sync.WaitGroup
	mu      sync.Mutex
	result  Result
	starter sync.WaitGroup
}

// Result is what became of the requests of a Load.
type Result struct {
	Sent     int
	Answers  map[string]int // by server
	Failures []Failure
}

// Failure is a request without its answer.
type Failure struct {
	Began time.Time
	Err   error
}

// Load starts a number of requests a second to an address.
func (r *Rig) Load(rate int, address string) *Load {
	l := &Load{stop: make(chan struct{}), result: Result{Answers: map[string]int{}}}
	due := make(chan struct{}, 100*rate)
	for range callers {
		l.done.Go(func() {
			err := r.Client.Do(func() error {
				for range due {
					l.ask(netip.AddrPort{}, address)
				}
				return nil
			})
			if err != nil {
				r.T.Error(err)
			}
		})
	}
	l.starter.Go(func() { l.pace(rate, due) })
	return l
}

// pace puts requests into due, and catches up when it was not woken in time.
func (l *Load) pace(rate int, due chan<- struct{}) {
	defer close(due)
	start, sent := time.Now(), 0
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		for ; sent < int(time.Since(start).Seconds()*float64(rate)); sent++ {
			due <- struct{}{}
		}
	}
}

// ask sends one request; the caller's thread is in the client's namespace.
func (l *Load) ask(from netip.AddrPort, address string) {
	began := time.Now()
	said, err := Ask(from, address)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.Sent++
	if err != nil {
		l.result.Failures = append(l.result.Failures, Failure{began, err})
		return
	}
	server, _, _ := strings.Cut(said, " ")
	l.result.Answers[server]++
}

// Stop ends the load, waits for the answers still due and returns what became
// of all requests.
func (l *Load) Stop() Result {
	close(l.stop)
	l.starter.Wait()
	l.done.Wait()
	return l.result
}

// Failed says in one line which requests failed, or nothing.
func (res Result) Failed() string {
	if len(res.Failures) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d requests failed, the first with: %v", len(res.Failures), res.Sent, res.Failures[0].Err)
}

// Ask requests a page and returns its text. The server closes the connection,
// so that the port from which it came can be used again while the server
// keeps it in TIME_WAIT.
func Ask(from netip.AddrPort, address string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), served)
	defer cancel()
	d := net.Dialer{}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
		d.Control = reusePort
	}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: lvx\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	if err != nil {
		return "", err
	}
	head, body, ok := strings.Cut(string(text), "\r\n\r\n")
	if !ok || !strings.HasPrefix(head, "HTTP/1.1 200 ") {
		return "", fmt.Errorf("answer %.60q", text)
	}
	return strings.TrimSpace(body), nil
}

func reusePort(_, _ string, c syscall.RawConn) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}), err)
}

// Storm makes a number of short connections from each of the client's
// addresses, from so few ports that each is used again and again.
func (r *Rig) Storm(addresses []netip.Addr, each, ports int, to string) Result {
	l := &Load{result: Result{Answers: map[string]int{}}}
	for _, a := range addresses {
		// Two callers an address, each with ports of its own.
		for half := range 2 {
			l.done.Go(func() {
				err := r.Client.Do(func() error {
					for i := range each / 2 {
						port := 20000 + half*ports/2 + i%(ports/2)
						l.ask(netip.AddrPortFrom(a, uint16(port)), to)
					}
					return nil
				})
				if err != nil {
					r.T.Error(err)
				}
			})
		}
	}
	l.done.Wait()
	return l.result
}

// Hold opens connections from a host and leaves them open until the end of
// the test.
func (r *Rig) Hold(host *netlab.Host, n int, address string) []net.Conn {
	r.T.Helper()
	conns := make([]net.Conn, 0, n)
	r.T.Cleanup(func() {
		for _, c := range conns {
			c.Close()
		}
	})
	r.Must(host.Do(func() error {
		d := net.Dialer{Timeout: Patience}
		for range n {
			c, err := d.Dial("tcp", address)
			if err != nil {
				return fmt.Errorf("connection %d: %w", len(conns)+1, err)
			}
			conns = append(conns, c)
		}
		return nil
	}))
	return conns
}
