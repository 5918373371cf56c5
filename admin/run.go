package admin

import (
	"context"
	"errors"
	"io"

	"github.com/lvx-lb/lvx/service"
)

var errLater = errors.New("not written yet")

// Run carries out one ipvsadm command line, args without the program's name,
// against the director at socket, and returns the exit code.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, socket string, names Names) int {
	return 255
}

// Parse reads one ipvsadm command line, args without the program's name.
func Parse(args []string) (Command, error) { return Command{}, errLater }

// ReadRules reads rules as -S writes them, with # comments and blank lines.
// It returns the edits of the whole file, or an error that names the line.
func ReadRules(r io.Reader) ([]service.Edit, error) { return nil, errLater }

// Listen takes the socket at path for this process.
func Listen(path string) (*Server, error) { return nil, errLater }

// Server answers requests at a socket.
type Server struct{}

// Serve answers with d until ctx ends.
func (s *Server) Serve(ctx context.Context, d Director) error { return errLater }

// Close gives the socket up.
func (s *Server) Close() error { return nil }

// Serve listens at path and answers with d until ctx ends.
func Serve(ctx context.Context, path string, d Director) error { return errLater }

// Dial reaches the director at path.
func Dial(ctx context.Context, path string) (*Client, error) { return nil, errLater }

// Client is a director at the other end of a socket.
type Client struct{}
