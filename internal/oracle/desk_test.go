package oracle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/service"
)

// desk is where the administrator's tool meets the twin: lvx's own ipvsadm
// talks to it through a socket. It implements admin.Director.
type desk struct{ *twin }

// open has the tool of package admin served until close.
func (d desk) open(t testing.TB) (socket string, close func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "lvx.sock")
	server, err := admin.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- server.Serve(ctx, d) }()
	return socket, func() {
		stop()
		<-served
		server.Close()
	}
}

// ask gives a command line to the tool and returns what it prints.
func (d desk) ask(t testing.TB, words []string, input string) (output string, code int) {
	t.Helper()
	if d.socket == "" {
		d.twin.socket, d.twin.shut = d.open(t)
	}
	if d.fault.onCommand != nil {
		var lines strings.Builder
		for line := range strings.Lines(input) {
			lines.WriteString(strings.Join(d.fault.command(strings.Fields(line)), " ") + "\n")
		}
		input = lines.String()
	}
	var screen bytes.Buffer
	code = admin.Run(t.Context(), d.fault.command(words), strings.NewReader(input), &screen, &screen, d.socket, admin.Names{})
	return screen.String(), code
}

func (d desk) Apply(_ context.Context, edits []service.Edit) error {
	for _, e := range edits {
		if err := d.apply(e); err != nil {
			return err
		}
	}
	return nil
}

func (d desk) ApplyEach(ctx context.Context, edits []service.Edit) (done admin.Outcome, _ error) {
	for i := range edits {
		done.Refused = append(done.Refused, d.Apply(ctx, edits[i:i+1]))
	}
	return done, nil
}

func (d desk) Status(context.Context) (all []service.Status, _ error) {
	stats := d.worker.Stats()
	for _, s := range d.set.Services() {
		row := service.Status{Service: s.Service}
		for _, v := range d.roster.Servers() {
			if v.Service().Key == s.Key {
				row.Stats = sumOf(row.Stats, stats[v.Slot])
			}
		}
		for _, v := range s.Servers {
			srv := d.roster.Find(s.Key, v.Address)
			active, inactive := srv.Counts()
			row.Servers = append(row.Servers, service.ServerStatus{Server: v, Active: active, Inactive: inactive, Persistent: srv.Templates(),
				Stats: sumOf(service.Stats{}, stats[srv.Slot])})
		}
		all = append(all, row)
	}
	return all, nil
}

func sumOf(a service.Stats, b dataplane.Stat) service.Stats {
	return service.Stats{Conns: a.Conns + b.Conns, InPkts: a.InPkts + b.InPkts, OutPkts: a.OutPkts + b.OutPkts,
		InBytes: a.InBytes + b.InBytes, OutBytes: a.OutBytes + b.OutBytes}
}

func (d desk) Conns(_ context.Context, yield func([]service.Conn) error) error {
	var all []service.Conn
	for _, c := range d.rows() {
		all = append(all, service.Conn{Protocol: service.Protocol(protoOf(c)), State: c.state, Client: c.client, Virtual: c.virtual,
			Real: netip.AddrPortFrom(c.real.Addr(), c.real.Port()), Expires: time.Duration(c.expires) * time.Second})
	}
	return yield(all)
}

func (d desk) Timeouts(context.Context) (service.Timeouts, error) { return d.set.Timeouts(), nil }

func (d desk) Settings(context.Context) (service.Settings, error) { return d.set.Settings(), nil }

func (d desk) Marks(context.Context) ([]service.MarkRule, error) { return d.set.Marks(), nil }

func (d desk) Drain(context.Context, service.Drain, func(service.Left) error) error {
	return errors.New("nothing is drained here")
}

func (d desk) Info(context.Context) (admin.Info, error) { return admin.Info{TableSize: 4096}, nil }

func (d desk) Capture(context.Context, io.Writer) error {
	return errors.New("nothing is captured here")
}
