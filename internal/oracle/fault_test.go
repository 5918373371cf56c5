package oracle

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/service"
)

// fault is something wrong that is planted around lvx's side, at its seams:
// deviations, commands, frames that arrive and leave, timeouts and lists.
type fault struct {
	name       string
	deviates   service.Deviations
	onCommand  func(args []string) []string
	onArrive   func(x *twin, n record.NIC, f record.Frame) record.Frame
	onLeave    func(n record.NIC, f record.Frame) record.Frame // nil: the frame is lost
	onTimeouts func(*conntrack.Timeouts)
	onConns    func([]conn) []conn
	onServers  func(*twin, []server) []server
}

func (f *fault) command(args []string) []string {
	if f.onCommand != nil {
		return f.onCommand(args)
	}
	return args
}

func (f *fault) arriving(x *twin, n record.NIC, frame record.Frame) record.Frame {
	if f.onArrive != nil {
		return f.onArrive(x, n, frame)
	}
	return frame
}

func (f *fault) leaving(n record.NIC, frame record.Frame) record.Frame {
	if f.onLeave != nil {
		return f.onLeave(n, frame)
	}
	return frame
}

func (f *fault) timeouts(t *conntrack.Timeouts) {
	if f.onTimeouts != nil {
		f.onTimeouts(t)
	}
}

func (f *fault) conns(all []conn) []conn {
	if f.onConns != nil {
		return f.onConns(all)
	}
	return all
}

func (f *fault) servers(x *twin, all []server) []server {
	if f.onServers != nil {
		return f.onServers(x, all)
	}
	return all
}
