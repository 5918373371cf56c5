package lvx

import (
	"context"
	"net/netip"
	"time"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/nic/xsk"
	"github.com/lvx-lb/lvx/service"
)

// Status lists the services in the order of their creation, each with its
// servers, newest first, and what they are doing.
func (d *Director) Status(context.Context) ([]service.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	stats := d.serverStats()
	totals := d.meters.totals(d.roster.Servers(), stats)
	list := make([]service.Status, 0, d.set.Len())
	for _, v := range d.set.Services() {
		s := service.Status{Service: v.Service, Stats: estimatorOf(d.meters.services, v.Key).StatsAt(totals[v.Key])}
		for _, spec := range v.Servers {
			row := service.ServerStatus{Server: spec}
			if srv := d.roster.Find(v.Key, spec.Address); srv != nil {
				row.Active, row.Inactive = srv.Counts()
				row.Persistent = srv.Templates()
				row.Stats = estimatorOf(d.meters.servers, srv.Slot).StatsAt(statOf(stats, srv))
			}
			s.Servers = append(s.Servers, row)
		}
		list = append(list, s)
	}
	return list, nil
}

// Settings returns the sysctls of IPVS; the mode of a defence that waits for
// a shortage of room says whether there is one.
func (d *Director) Settings(context.Context) (service.Settings, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	short := false
	d.each(func(w *worker) { short = short || w.Short() })
	return d.set.Settings().Seen(short), nil
}

// Timeouts returns the three values that --set changes.
func (d *Director) Timeouts(context.Context) (service.Timeouts, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.set.Timeouts(), nil
}

// connsAtOnce bounds how long the worker is kept from its packets.
const connsAtOnce = 4096

// Conns hands the connections to yield, part by part, until it fails. It is a
// picture taken in pieces: connections come and go meanwhile.
func (d *Director) Conns(ctx context.Context, yield func([]service.Conn) error) error {
	part := make([]service.Conn, 0, connsAtOnce)
	for _, w := range d.workers {
		for at := conntrack.Index(0); at != conntrack.None; {
			err := ctx.Err()
			if err == nil {
				at, part, err = d.somePart(w, at, part[:0])
			}
			if err == nil && len(part) > 0 {
				err = yield(part)
			}
			if err != nil {
				return err
			}
		}
	}
	if err := d.templates(ctx, yield); err != nil {
		return err
	}
	return d.expected(yield)
}

// expected hands on the data connections of FTP that nobody has opened yet.
func (d *Director) expected(yield func([]service.Conn) error) error {
	var all []service.Conn
	d.mu.Lock()
	d.roster.Expected(tickOf(dataplane.Monotonic()()), func(x dataplane.Expected) {
		all = append(all, service.Conn{
			Protocol: service.TCP, State: conntrack.Listen.String(), Client: x.Client.Netip(), Virtual: x.Virtual.Netip(),
			Real: netip.AddrPortFrom(x.Server.Address.Address.Addr(), x.RPort), Expires: durationOf(x.Expires),
		})
	})
	d.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	return yield(all)
}

// templates hands on the clients that persistent services remember.
func (d *Director) templates(ctx context.Context, yield func([]service.Conn) error) error {
	part := make([]service.Conn, 0, connsAtOnce)
	now := dataplane.Monotonic()
	for at := 0; at >= 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		part = part[:0]
		d.mu.Lock()
		at = d.roster.Templates().Walk(tickOf(now()), at, connsAtOnce, func(x dataplane.Template) {
			part = append(part, connOfTemplate(&x))
		})
		d.mu.Unlock()
		if len(part) == 0 {
			continue
		}
		if err := yield(part); err != nil {
			return err
		}
	}
	return nil
}

func connOfTemplate(x *dataplane.Template) service.Conn {
	state := "NONE"
	if x.Assured {
		state = "ASSURED"
	}
	return service.Conn{
		Protocol: service.Protocol(x.Proto), State: state, Client: netip.AddrPortFrom(x.Client.Netip(), 0),
		Virtual: netip.AddrPortFrom(x.Virtual.Netip(), x.VPort),
		Real:    netip.AddrPortFrom(x.Server.Address.Address.Addr(), x.RPort),
		Expires: durationOf(x.Expires),
	}
}

func tickOf(t dataplane.Time) conntrack.Tick { return conntrack.Tick(t / (dataplane.Second / 10)) }

func durationOf(t conntrack.Tick) time.Duration { return time.Duration(t) * 100 * time.Millisecond }

// somePart appends the connections of w from at on to part, not too many. It
// keeps edits away: they change what a slot stands for.
func (d *Director) somePart(w *worker, at conntrack.Index, part []service.Conn) (conntrack.Index, []service.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return conntrack.None, nil, ErrClosed
	}
	tick := tickOf(dataplane.Monotonic()())
	w.Do(func() {
		table := w.Table()
		at = table.Walk(at, connsAtOnce, func(i conntrack.Index, r *conntrack.Record) {
			if s := d.roster.At(r.Server); s != nil && r.State != conntrack.OnePacket {
				part = append(part, connOf(r, endpointOf(table, i, r), s, tick))
			}
		})
	})
	return at, part, nil
}

func connOf(r *conntrack.Record, virtual netip.AddrPort, s *dataplane.Server, now conntrack.Tick) service.Conn {
	return service.Conn{
		Protocol: service.Protocol(r.Proto()), State: r.State.String(), Client: r.Client().Netip(),
		Virtual: virtual,
		Real:    netip.AddrPortFrom(s.Address.Address.Addr(), r.RPort),
		Expires: durationOf(r.Expires(now)),
	}
}

// Info tells how a director runs.
type Info struct {
	Mode     string // zerocopy, native or generic
	Workers  int
	Placing  string // how frames come to their workers: "" before Run
	Capacity int    // of the connection table
	Conns    int    // connections now
	// Services and Services6 are how many there are of IPv4 and IPv6.
	Services, Services6 int
	// Deviations are the ways in which it differs from IPVS.
	Deviations service.Deviations
	// Counters by name: frames, unless the name says otherwise. Those that
	// begin with "drop." are drops by reason, with "steer." of the eBPF
	// program, with "nic." losses at the queues that lvx never saw.
	Counters map[string]uint64
}

// Info reads mode, balance of frames and counters.
func (d *Director) Info(context.Context) (Info, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return Info{}, ErrClosed
	}
	info := Info{
		Mode: d.rings.mode.String(), Workers: len(d.workers), Placing: d.placing, Counters: map[string]uint64{},
		Deviations: d.cfg.deviations(), Services: d.wanted.families[0], Services6: d.wanted.families[1],
	}
	d.each(func(w *worker) {
		info.Conns += w.Table().Len()
		info.Capacity += w.Table().Capacity()
		w.Counters.Each(w.Held(), func(name string, n uint64) { info.Counters[name] += n })
		w.upward.count(info.Counters)
		d.rings.of(w.number, len(d.workers), func(s *xsk.Socket) {
			losses := s.Stats()
			addLosses(info.Counters, &losses)
		})
	})
	c, err := d.steering.Counters()
	if err != nil {
		return Info{}, err
	}
	for name, n := range map[string]uint64{
		"steer.service": c.Services, "steer.reply": c.Replies, "steer.icmp-error": c.Errors,
		"steer.fragment": c.Fragments, "steer.no-socket": c.NoSocket, "steer.too-large": c.TooLarge,
	} {
		info.Counters[name] = n
	}
	return info, nil
}

func addLosses(to map[string]uint64, s *nic.Stats) {
	for name, n := range map[string]uint64{
		"nic.rx-dropped": s.RxDropped, "nic.rx-ring-full": s.RxRingFull, "nic.rx-invalid": s.RxInvalid,
		"nic.tx-invalid": s.TxInvalid, "nic.fill-empty": s.FillEmpty, "nic.tx-dropped": s.TxDropped,
		"nic.kick-retry": s.KickRetry, "nic.kick-down": s.KickDown, "nic.kick-failed": s.KickFailed,
	} {
		to[name] += n
	}
}
