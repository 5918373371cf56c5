package admin

import (
	"context"
	"io"

	"github.com/lvx-lb/lvx/service"
)

// DefaultSocket is where a director listens unless told otherwise.
const DefaultSocket = "/run/lvx/lvx.sock"

// Director is what stands behind the socket. Its errors may wrap the
// sentinels of package service; they arrive at a Client as such.
type Director interface {
	// Apply carries out all edits in order, or none.
	Apply(ctx context.Context, edits []service.Edit) error
	// ApplyEach carries out each edit by itself, in order: one that is refused
	// does not stop the next.
	ApplyEach(ctx context.Context, edits []service.Edit) (Outcome, error)
	// Status returns the services in the order of the director's own list.
	Status(ctx context.Context) ([]service.Status, error)
	// Conns hands the connections to yield, part by part, until yield fails.
	Conns(ctx context.Context, yield func([]service.Conn) error) error
	// Timeouts returns the three values that --set changes.
	Timeouts(ctx context.Context) (service.Timeouts, error)
	// Settings returns the sysctls; an Edit changes one.
	Settings(ctx context.Context) (service.Settings, error)
	// Marks returns the mark rules in the order in which they count; an Edit
	// changes them.
	Marks(ctx context.Context) ([]service.MarkRule, error)
	// Info tells how the director runs.
	Info(ctx context.Context) (Info, error)
	// Drain gives a server weight 0 and returns when it has no connection left,
	// or tell fails.
	Drain(ctx context.Context, d service.Drain, tell func(service.Left) error) error
	// Capture writes the frames of both directions as a pcap stream until ctx
	// ends or w fails.
	Capture(ctx context.Context, w io.Writer) error
}

// Outcome tells what became of edits that stand each for itself.
type Outcome struct {
	Refused  []error  // by edit, nil = carried out
	Warnings []string // what the operator should know all the same
}

// Info tells how a director runs.
type Info struct {
	Version    string             `json:"version"`    // of lvx
	Mode       string             `json:"mode"`       // zerocopy, native or generic
	TableSize  int                `json:"table_size"` // connections that fit; the size of the listing's first line
	Conns      int                `json:"conns"`      // connections now
	Services   int                `json:"services"`   // of IPv4
	Services6  int                `json:"services6"`  // of IPv6
	Workers    int                `json:"workers"`    // threads that forward
	Placing    string             `json:"placing"`    // how frames come to the worker that owns their connection
	Deviations service.Deviations `json:"deviations"` // ways in which it differs from IPVS
	Counters   map[string]uint64  `json:"counters"`   // by name, frames unless the name says otherwise
}
