package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/lvx-lb/lvx/service"
)

// Client is a director at the other end of a socket. Each of its methods uses
// a connection of its own, so a Client needs no closing and may be shared.
type Client struct {
	path string
}

var _ Director = (*Client)(nil)

// Dial looks whether a director listens at path and returns a Client for it.
// The error wraps ErrUnreachable when none does.
func Dial(ctx context.Context, path string) (*Client, error) {
	c := &Client{path: path}
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	return c, conn.Close()
}

func (c *Client) connect(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, unreachable(c.path, err)
	}
	return conn, nil
}

// ask sends q and hands the replies to take, the last one included. What
// follows them can be read from conn until take returns.
func (c *Client) ask(ctx context.Context, q request, take func(reply, net.Conn) error) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	q.Versions = wireVersions
	err = exchange(conn, q, take)
	var told *remoteError
	switch {
	case err == nil, errors.As(err, &told):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("ask director: %w", err)
}

func exchange(conn net.Conn, q request, take func(reply, net.Conn) error) error {
	// A server that refuses may answer and hang up before it has the request.
	sent := writeMessage(conn, q, maxRequest)
	if errors.Is(sent, ErrTooLarge) {
		return sent
	}
	for {
		body, err := readMessage(conn, maxReply)
		if err != nil {
			return errors.Join(sent, err)
		}
		a, err := decodeReply(body)
		if err != nil {
			return err
		}
		if err := take(a, conn); err != nil {
			return err
		}
		if !a.More || q.Ask == askCapture { // after a capture's reply come no messages
			return nil
		}
	}
}

// Apply carries out all edits in order, or none.
func (c *Client) Apply(ctx context.Context, edits []service.Edit) error {
	return c.ask(ctx, request{Ask: askApply, Edits: edits}, func(reply, net.Conn) error { return nil })
}

// ApplyEach carries out each edit by itself, in order.
func (c *Client) ApplyEach(ctx context.Context, edits []service.Edit) (done Outcome, err error) {
	err = c.ask(ctx, request{Ask: askEach, Edits: edits}, func(a reply, _ net.Conn) error {
		done.Warnings = a.Warnings
		for _, f := range a.Refused {
			done.Refused = append(done.Refused, f.err())
		}
		if len(done.Refused) != len(edits) {
			return ErrMalformed
		}
		return nil
	})
	return done, err
}

// Status returns the services in the order of the director's own list.
func (c *Client) Status(ctx context.Context) (list []service.Status, err error) {
	err = c.ask(ctx, request{Ask: askStatus}, func(a reply, _ net.Conn) error {
		list = append(list, a.Services...)
		return nil
	})
	return list, err
}

// Conns hands the connections to yield, part by part, until yield fails.
func (c *Client) Conns(ctx context.Context, yield func([]service.Conn) error) error {
	return c.ask(ctx, request{Ask: askConns}, func(a reply, _ net.Conn) error {
		if len(a.Conns) == 0 {
			return nil
		}
		return yield(a.Conns)
	})
}

// Timeouts returns the three values that --set changes.
func (c *Client) Timeouts(ctx context.Context) (t service.Timeouts, err error) {
	err = c.ask(ctx, request{Ask: askTimeouts}, func(a reply, _ net.Conn) error {
		if a.Timeouts == nil {
			return ErrMalformed
		}
		t = *a.Timeouts
		return nil
	})
	return t, err
}

// Settings returns the sysctls.
func (c *Client) Settings(ctx context.Context) (s service.Settings, err error) {
	err = c.ask(ctx, request{Ask: askSettings}, func(a reply, _ net.Conn) error {
		if a.Settings == nil {
			return ErrMalformed
		}
		s = *a.Settings
		return nil
	})
	return s, err
}

// Marks returns the mark rules in the order in which they count.
func (c *Client) Marks(ctx context.Context) (rules []service.MarkRule, err error) {
	err = c.ask(ctx, request{Ask: askMarks}, func(a reply, _ net.Conn) error {
		rules = a.Marks
		return nil
	})
	return rules, err
}

// Info tells how the director runs.
func (c *Client) Info(ctx context.Context) (info Info, err error) {
	err = c.ask(ctx, request{Ask: askInfo}, func(a reply, _ net.Conn) error {
		if a.Info == nil {
			return ErrMalformed
		}
		info = *a.Info
		return nil
	})
	return info, err
}

// Drain empties a server; tell hears what is left.
func (c *Client) Drain(ctx context.Context, d service.Drain, tell func(service.Left) error) error {
	return c.ask(ctx, request{Ask: askDrain, Drain: &d}, func(a reply, _ net.Conn) error {
		if a.Left == nil {
			return nil
		}
		return tell(*a.Left)
	})
}

// Capture copies the director's pcap stream to w until ctx ends, the director
// stops or w fails.
func (c *Client) Capture(ctx context.Context, w io.Writer) error {
	return c.ask(ctx, request{Ask: askCapture}, func(a reply, conn net.Conn) error {
		if !a.More {
			return nil // it ended before it began
		}
		_, err := io.Copy(w, conn)
		return err
	})
}
