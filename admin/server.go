package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/lvx-lb/lvx/service"
)

// Server answers requests at a unix socket. Only root, and the user that the
// server runs as, are heard.
type Server struct {
	socket   *socket
	patience time.Duration // for a request to arrive, and for a reply to be taken
	clients  chan struct{} // one place each
	lasting  chan struct{} // of them, those who ask for what may take days
	uid      func(*net.UnixConn) (uint32, error)
}

const (
	patience   = 10 * time.Second
	maxClients = 64
	maxLasting = maxClients / 2
	statusPart = 64   // services a reply
	connsPart  = 1024 // connections a reply
)

// Listen takes the socket at path for this process. Clients may connect from
// now on; Serve answers them. It fails with ErrRunning when another director
// holds the socket.
func Listen(path string) (*Server, error) {
	s, err := openSocket(path)
	if err != nil {
		return nil, err
	}
	return &Server{
		socket: s, patience: patience, clients: make(chan struct{}, maxClients), lasting: make(chan struct{}, maxLasting), uid: peerUID,
	}, nil
}

// Close gives up a socket that is not served.
func (s *Server) Close() error { return s.socket.Close() }

// Serve answers with d until ctx ends, then waits for the requests under way
// and closes the socket. It returns nil when ctx ended it.
func (s *Server) Serve(ctx context.Context, d Director) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer s.socket.Close()
	defer running.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.socket.SetDeadline(time.Now()) })()
	for {
		conn, err := s.socket.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept client: %w", err)
		case err != nil:
			// No file descriptor was left, or the client is gone again.
			pause(ctx, s.patience/100)
			continue
		}
		select {
		case s.clients <- struct{}{}:
		default:
			s.send(conn, reply{Fault: faultOf(ErrBusy)})
			conn.Close()
			continue
		}
		running.Go(func() {
			defer func() { <-s.clients }()
			defer conn.Close()
			s.client(ctx, conn, d)
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// client serves one connection: one request.
func (s *Server) client(ctx context.Context, conn *net.UnixConn, d Director) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Closing also ends what waits for the client.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := s.permit(conn); err != nil {
		s.send(conn, reply{Fault: faultOf(err)})
		return
	}
	conn.SetReadDeadline(time.Now().Add(s.patience))
	body, err := readMessage(conn, maxRequest)
	if err != nil {
		if errors.Is(err, ErrTooLarge) {
			s.send(conn, reply{Fault: faultOf(err)})
		}
		return
	}
	q, version, err := decodeRequest(body)
	if err != nil {
		s.send(conn, reply{Version: version, Fault: faultOf(err)})
		return
	}
	conn.SetReadDeadline(time.Time{})
	var watching sync.WaitGroup
	watching.Go(func() {
		io.ReadFull(conn, make([]byte, 1)) // a client that asked is silent until it hangs up
		cancel()
	})
	answer, err := s.answerInTurn(ctx, conn, d, q, version)
	if err != nil {
		answer = reply{Version: version, Fault: faultOf(err)}
	}
	s.send(conn, answer)
	conn.Close()
	watching.Wait()
}

func (s *Server) permit(conn *net.UnixConn) error {
	uid, err := s.uid(conn)
	if err != nil {
		return err
	}
	if uid != 0 && int(uid) != os.Geteuid() {
		return fmt.Errorf("user %d: %w", uid, ErrForbidden)
	}
	return nil
}

// send gives the client a limited time to take a reply.
func (s *Server) send(conn *net.UnixConn, a reply) error {
	conn.SetWriteDeadline(time.Now().Add(s.patience))
	return writeMessage(conn, a, maxReply)
}

// answerInTurn leaves places to clients who want something short.
func (s *Server) answerInTurn(ctx context.Context, conn *net.UnixConn, d Director, q request, version int) (reply, error) {
	if q.Ask == askDrain || q.Ask == askCapture {
		select {
		case s.lasting <- struct{}{}:
			defer func() { <-s.lasting }()
		default:
			return reply{}, ErrBusy
		}
	}
	return s.answer(ctx, conn, d, q, version)
}

// answer asks d. It sends all replies but the last, which it returns.
func (s *Server) answer(ctx context.Context, conn *net.UnixConn, d Director, q request, version int) (a reply, err error) {
	a.Version = version
	switch q.Ask {
	case askApply:
		err = d.Apply(ctx, q.Edits)
	case askEach:
		var done Outcome
		done, err = d.ApplyEach(ctx, q.Edits)
		a.Warnings = done.Warnings
		for _, e := range done.Refused {
			a.Refused = append(a.Refused, faultOf(e))
		}
	case askStatus:
		a.Services, err = d.Status(ctx)
		for ; err == nil && len(a.Services) > statusPart; a.Services = a.Services[statusPart:] {
			err = s.send(conn, reply{Version: version, More: true, Services: a.Services[:statusPart]})
		}
	case askConns:
		err = d.Conns(ctx, func(list []service.Conn) error {
			for part := range slices.Chunk(list, connsPart) {
				if err := s.send(conn, reply{Version: version, More: true, Conns: part}); err != nil {
					return err
				}
			}
			return nil
		})
	case askTimeouts:
		a.Timeouts = new(service.Timeouts)
		*a.Timeouts, err = d.Timeouts(ctx)
	case askSettings:
		a.Settings = new(service.Settings)
		*a.Settings, err = d.Settings(ctx)
	case askMarks:
		a.Marks, err = d.Marks(ctx)
	case askInfo:
		a.Info = new(Info)
		*a.Info, err = d.Info(ctx)
	case askDrain:
		if q.Drain == nil {
			return a, fmt.Errorf("%w: drains nothing", ErrMalformed)
		}
		err = d.Drain(ctx, *q.Drain, func(left service.Left) error {
			return s.send(conn, reply{Version: version, More: true, Left: &left})
		})
	case askCapture:
		w := stream{server: s, conn: conn, version: version}
		if err = d.Capture(ctx, &w); w.begun {
			conn.Close() // no reply can follow the stream
		}
	default:
		err = fmt.Errorf("%w: asks for %q", ErrMalformed, q.Ask)
	}
	return a, err
}

// stream is what follows the reply to a capture. The reply waits for the
// first write, so that a capture that cannot begin has its error told.
type stream struct {
	server  *Server
	conn    *net.UnixConn
	version int
	begun   bool
}

func (w *stream) Write(p []byte) (int, error) {
	if !w.begun {
		w.begun = true
		if err := w.server.send(w.conn, reply{Version: w.version, More: true}); err != nil {
			return 0, err
		}
	}
	w.conn.SetWriteDeadline(time.Now().Add(w.server.patience))
	return w.conn.Write(p)
}
