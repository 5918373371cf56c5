package lvx

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/lvx-lb/lvx/bpf"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/route"
	"github.com/lvx-lb/lvx/service"
)

// What New and Run may refuse with; the error says which NIC and what to do.
var (
	ErrNIC     = errors.New("NIC cannot be used")
	ErrMode    = errors.New("mode is not available")
	ErrRunning = errors.New("director runs already")
	ErrClosed  = errors.New("director is closed")
)

// Director balances connections. Its methods may be called by several
// goroutines.
type Director struct {
	cfg       Config
	log       *slog.Logger
	mirror    *route.Mirror
	links     *links
	steering  *bpf.Steering
	keys      *keys
	wanted    *wanted
	own       map[netip.Addr]bool // the director's addresses, as the roster knows them
	rings     *rings
	hops      *dataplane.Hops
	way       *bpf.WayBack
	workers   []*worker
	crew      *dataplane.Crew // nil: one worker
	placing   string          // how frames come to their workers
	misplaced bool            // and it is not so
	capturing atomic.Bool
	settings  *settings
	vips      *vips
	network   changes     // of links, addresses and routes, to be followed
	opened    atomic.Bool // all above is there: the mirror's goroutine may use it

	mu      sync.Mutex // guards what follows: one change at a time
	set     *service.Set
	roster  *dataplane.Roster
	meters  *meters
	silence silence
	marking marking
	running bool // Run is at work
	steers  bool // between start and finish
	closed  bool
}

// New opens everything that a Director needs: sockets on every queue, the
// steering program (attached, but steering nothing), the connection table. On
// an error nothing is left behind.
func New(cfg Config) (*Director, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	d := &Director{
		cfg: cfg, log: cfg.Log, set: service.NewSet(dataplane.Features), hops: dataplane.NewHops(),
		meters: newMeters(), network: newChanges(), silence: silence{},
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"start beside the kernel", checkIPVS},
		{"read network", d.openMirror},
		{"find NICs", d.openLinks},
		{"look for settings to put back", d.openSettings},
		{"load steering", d.openSteering},
		{"open sockets", d.openRings},
		{"make workers", d.openWorkers},
	} {
		if err := step.do(); err != nil {
			d.release()
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	d.opened.Store(true)
	return d, nil
}

func (d *Director) openMirror() (err error) {
	d.mirror, err = route.Open(context.Background(), route.Config{
		Log:         d.log,
		OnNeighbour: d.neighbourChanged,
		OnLink:      d.noteLink,
		OnAddress:   func(route.Address) { d.network.note(addressesChanged) },
		OnRoutes:    func(uint32) { d.network.note(routesChanged) },
	})
	return err
}

func (d *Director) openLinks() (err error) {
	if d.links, err = findLinks(d.mirror, d.cfg.NICs); err != nil {
		return err
	}
	for i := range d.links.nics {
		n := &d.links.nics[i]
		if l, err := d.mirror.Link(n.ifindex); err == nil {
			d.tellTrouble(n, l)
		}
	}
	if d.roster, err = dataplane.NewRoster(d.links.forWorker(d.mirror)); err != nil {
		return err
	}
	d.roster.LimitTemplates(d.cfg.Conns)
	d.roster.SlowStart(dataplane.Time(d.cfg.SlowStart))
	d.roster.Deviate(d.cfg.deviations())
	return nil
}

func (d *Director) openSteering() (err error) {
	if d.steering, err = bpf.Load(bpf.Config{NICs: len(d.links.nics), Queues: maxQueues, FDs: d.inherited()}); err != nil {
		return explainKernel(err)
	}
	awaited, err := d.steering.Awaited()
	if err != nil {
		return err
	}
	d.roster.HelpFTP(d.cfg.FTP, awaited)
	d.keys = newKeys(d.steering, d.links)
	d.wanted = newWanted(d.keys, &d.marking, d.roster)
	for _, n := range d.links.nics {
		if err := d.steering.AddNIC(n.ifindex, n.macs...); err != nil {
			return err
		}
	}
	return nil
}

func (d *Director) openSettings() (err error) {
	d.settings, err = openSettings(d.cfg, d.log)
	return err
}

// Run forwards until ctx ends: it steers, adds the VIPs and works. At its end
// nothing is steered any more and what was changed on the machine is as it
// was.
func (d *Director) Run(ctx context.Context) error {
	d.mu.Lock()
	if d.closed || d.running {
		d.mu.Unlock()
		if d.closed {
			return ErrClosed
		}
		return ErrRunning
	}
	d.running = true
	d.mu.Unlock()
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	var group sync.WaitGroup
	working, rest := context.WithCancel(context.WithoutCancel(ctx))
	failed := make(chan error, len(d.workers))
	for _, w := range d.workers {
		group.Go(func() { failed <- w.Run(working, nil) })
		group.Go(func() { w.upward.run(working) })
	}
	group.Go(func() { d.keepHops(working) })
	err := d.start()
	if err == nil {
		group.Go(func() { d.keepHouse(ctx) })
		if d.cfg.Ready != nil {
			d.cfg.Ready()
		}
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	err = errors.Join(err, d.finish())
	stop()
	rest()
	group.Wait()
	if d.crew != nil {
		d.crew.Settle(dataplane.Monotonic()())
	}
	d.mu.Lock()
	d.running = false
	d.mu.Unlock()
	return err
}

// start lets packets in: first what they need, then the keys that bring them,
// then the addresses that make clients send them.
func (d *Director) start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steers = true
	for i := range d.links.nics {
		n := &d.links.nics[i]
		n.interrupts = d.rings.interrupts(n)
	}
	if err := d.settings.change(thisMachine{d.mirror}, d.links); err != nil {
		return err
	}
	for _, n := range d.links.nics {
		if err := d.steering.Attach(n.ifindex, d.rings.generic()); err != nil {
			return err
		}
	}
	if err := d.place(); err != nil {
		return err
	}
	if err := errors.Join(d.steerOwn(), d.steer()); err != nil {
		return err
	}
	d.vips.adopt(d.settings.note.VIPs)
	warnings, err := d.vips.follow(d.set, true)
	d.warn(warnings)
	return err
}

// finish is start the other way round; frames on their way are sent.
func (d *Director) finish() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steers = false
	errs := []error{d.vips.remove()}
	for _, n := range d.links.nics {
		errs = append(errs, d.steering.Detach(n.ifindex))
	}
	d.drain()
	return errors.Join(append(errs, d.settings.restore(thisMachine{d.mirror}))...)
}

// Close gives everything back. Run must have ended.
func (d *Director) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	if d.running {
		return ErrRunning
	}
	d.closed = true
	return d.release()
}

// release closes what New has opened, however far it came.
func (d *Director) release() error {
	var errs []error
	if d.steering != nil {
		for _, n := range d.links.nics {
			errs = append(errs, d.steering.Detach(n.ifindex))
		}
	}
	if d.way != nil {
		errs = append(errs, d.way.Close())
	}
	if d.rings != nil {
		errs = append(errs, d.rings.close())
	}
	for _, w := range d.workers {
		errs = append(errs, w.Table().Close())
	}
	if d.steering != nil {
		errs = append(errs, d.steering.Close())
	}
	if d.mirror != nil {
		errs = append(errs, d.mirror.Close())
	}
	if d.settings != nil {
		errs = append(errs, d.settings.close())
	}
	return errors.Join(errs...)
}
