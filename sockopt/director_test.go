package sockopt

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/service"
)

// double is a director that keeps rules and forwards nothing.
type double struct {
	admin.Director
	mu      sync.Mutex
	set     service.Set
	applied []service.Edit
	conns   []service.Conn
	asked   int           // how often for the status
	arrived chan struct{} // if not nil, edits are announced here and wait for release
	release chan struct{}
}

func (d *double) ApplyEach(_ context.Context, edits []service.Edit) (admin.Outcome, error) {
	if d.arrived != nil {
		d.arrived <- struct{}{}
		<-d.release
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	refused := make([]error, len(edits))
	for i, e := range edits {
		if refused[i] = d.set.Apply(e); refused[i] == nil {
			d.applied = append(d.applied, e)
		}
	}
	return admin.Outcome{Refused: refused}, nil
}

func (d *double) Status(context.Context) (list []service.Status, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	for _, c := range d.set.Services() {
		s := service.Status{Service: c.Service, Stats: service.Stats{Conns: 3, InPkts: 4, InBytes: 1 << 40}}
		for _, v := range c.Servers {
			s.Servers = append(s.Servers, service.ServerStatus{Server: v, Active: 5, Inactive: 250000})
		}
		list = append(list, s)
	}
	return list, nil
}

func (d *double) Conns(_ context.Context, yield func([]service.Conn) error) error {
	return yield(d.conns)
}

func (d *double) Timeouts(context.Context) (service.Timeouts, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.set.Timeouts(), nil
}

func (d *double) Info(context.Context) (admin.Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info := admin.Info{TableSize: 4096}
	for _, c := range d.set.Services() {
		if c.Is6() {
			info.Services6++
		} else {
			info.Services++
		}
	}
	return info, nil
}

func (d *double) edits() []service.Edit {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.applied)
}

// must makes the edits that ipvsadm's lines ask for.
func (d *double) must(t testing.TB, lines string) {
	t.Helper()
	edits, err := admin.ReadRules(strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	done, _ := d.ApplyEach(t.Context(), edits)
	if err := errors.Join(done.Refused...); err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func optionsOf(d admin.Director) *options { return &options{director: d, log: quiet()} }

// plain makes a director with what the socket options can show.
func plain(t testing.TB) *double {
	d := &double{}
	d.must(t, `
-A -t 192.0.2.10:80 -s wrr
-a -t 192.0.2.10:80 -r 10.0.0.12:8080 -m -w 1
-a -t 192.0.2.10:80 -r 10.0.0.11:8080 -m -w 3
-A -u 192.0.2.10:53 -s mh -b mh-port
`)
	return d
}

// made makes a director with connections and an IPv6 service besides.
func made(t testing.TB) *double {
	d := plain(t)
	d.conns = []service.Conn{
		{Protocol: service.TCP, State: "ESTABLISHED", Client: netip.MustParseAddrPort("203.0.113.5:49153"),
			Virtual: netip.MustParseAddrPort("192.0.2.10:80"), Real: netip.MustParseAddrPort("10.0.0.11:8080"), Expires: 899 * time.Second},
		{Protocol: service.UDP, State: "UDP", Client: netip.MustParseAddrPort("[2001:db8::5]:4"),
			Virtual: netip.MustParseAddrPort("[2001:db8::1]:53"), Real: netip.MustParseAddrPort("[fd00::1]:53"), Expires: 1500 * time.Millisecond},
	}
	d.must(t, "-A -t [2001:db8::1]:80 -s rr\n")
	return d
}
