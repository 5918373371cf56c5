package route

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// What the methods of a Mirror may refuse with.
var (
	ErrBusy      = errors.New("too many neighbours asked for this second")
	ErrTooMany   = errors.New("too many neighbours kept alive")
	ErrTableFull = errors.New("the kernel's neighbour table is full (sysctl net.ipv4.neigh.default.gc_thresh3, net.ipv6 likewise)")
	ErrInvalid   = errors.New("no address of a neighbour")
	ErrExists    = errors.New("address is there already")
	ErrNoLink    = errors.New("no such link")
)

// Config says which namespace to mirror and whom to tell. The functions are
// called one at a time from one goroutine, in the kernel's order, and may call
// any method of the Mirror but Close; while one runs, the mirror stands still.
// They tell changes only: what is there at Open is read with Links, Addresses
// and Lookup. The first call may come before Open has returned.
type Config struct {
	Netns       int             // file descriptor of a network namespace; 0 or less = the caller's
	Log         *slog.Logger    // nil = slog.Default
	OnNeighbour func(Neighbour) // MAC or state changed; Failed is told at every failed attempt
	OnLink      func(Link)
	OnAddress   func(Address)
	OnRoutes    func(generation uint32) // what Lookup or IsOwn answer may have changed

	eventBuffer int // receive buffer of the event socket, for tests
}

// Mirror follows one network namespace.
type Mirror struct {
	cfg      Config
	ns       *namespace
	snapshot atomic.Pointer[snapshot]
	requests *requester // single questions
	dumps    *requester // long lists, which must not hold up the questions
	events   *listener
	ioctl    int
	stop     context.CancelFunc
	done     sync.WaitGroup
	closing  sync.Once

	mu         sync.Mutex // guards what follows; the follower alone writes it
	links      map[int]Link
	addresses  []Address
	neighbours map[place]known
	kept       map[place]time.Time // neighbours to keep alive, when last asked
	second     time.Time           // begin of the second that asked counts
	asked      int

	*follower
}

// Open reads the namespace once and follows it until Close or the end of ctx.
func Open(ctx context.Context, cfg Config) (*Mirror, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	m := &Mirror{
		cfg: cfg, ioctl: -1,
		links: map[int]Link{}, neighbours: map[place]known{}, kept: map[place]time.Time{},
		follower: newFollower(),
	}
	if err := m.connect(); err != nil {
		m.disconnect()
		return nil, fmt.Errorf("open route mirror: %w", err)
	}
	if err := m.resync(); err != nil {
		m.disconnect()
		return nil, fmt.Errorf("open route mirror: %w", err)
	}
	m.told = nil
	m.publish()
	ctx, m.stop = context.WithCancel(ctx)
	queue := make(chan batch, 64)
	m.done.Go(func() { m.events.listen(ctx, queue) })
	m.done.Go(func() { m.follow(ctx, queue) })
	return m, nil
}

// connect opens every socket inside the namespace.
func (m *Mirror) connect() (err error) {
	if m.ns, err = openNamespace(m.cfg.Netns); err != nil {
		return err
	}
	return m.ns.do(func() error {
		if m.events, err = newListener(m.cfg.eventBuffer); err != nil {
			return err
		}
		if m.requests, err = newRequester(); err != nil {
			return err
		}
		if m.dumps, err = newRequester(); err != nil {
			return err
		}
		m.ioctl, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
}

func (m *Mirror) disconnect() {
	m.events.close()
	m.requests.close()
	m.dumps.close()
	if m.ioctl >= 0 {
		_ = unix.Close(m.ioctl)
	}
	m.ns.close()
}

// Close ends all goroutines of the Mirror. Neighbours are no longer kept
// alive. Lookup and the lists go on answering with what was last known.
func (m *Mirror) Close() error {
	m.closing.Do(m.close)
	return nil
}

func (m *Mirror) close() {
	m.mu.Lock()
	kept := slices.Collect(maps.Keys(m.kept))
	m.mu.Unlock()
	for _, at := range kept {
		m.Release(at.ifindex, at.ip)
	}
	m.stop()
	m.done.Wait()
	m.disconnect()
}

// Links lists the links by number.
func (m *Mirror) Links() []Link {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Link, 0, len(m.links))
	for _, index := range slices.Sorted(maps.Keys(m.links)) {
		out = append(out, m.links[index])
	}
	return out
}

// Link finds a link by number.
func (m *Mirror) Link(index int) (Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.links[index]
	if !ok {
		return Link{}, fmt.Errorf("link %d: %w", index, ErrNoLink)
	}
	return l, nil
}

// LinkByName finds a link by name.
func (m *Mirror) LinkByName(name string) (Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if index := ifindexOf(name, m.links); index > 0 {
		return m.links[index], nil
	}
	return Link{}, fmt.Errorf("link %q: %w", name, ErrNoLink)
}

// Egress is how frames leave by a link that may be stacked on a NIC.
type Egress struct {
	NIC    int       // ifindex of the NIC at the bottom
	Source [6]byte   // MAC address that the frames carry
	Tags   [2]uint16 // VLAN ids, outermost first
	NTags  uint8
}

// Egress follows a VLAN or macvlan device down to its NIC. ErrNoLink says that
// the link, or one below it, is not in this namespace, or that it carries more
// than two tags.
func (m *Mirror) Egress(ifindex int) (Egress, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := Egress{Source: m.links[ifindex].MAC}
	for at, depth := ifindex, 0; depth <= maxStack; depth++ {
		l, ok := m.links[at]
		if !ok {
			break
		}
		if l.Kind == "vlan" {
			if int(e.NTags) == len(e.Tags) {
				break
			}
			e.Tags[1], e.Tags[0] = e.Tags[0], l.VLAN
			e.NTags++
		}
		if !l.stacked() {
			e.NIC = at
			return e, nil
		}
		at = l.Parent
	}
	return Egress{}, fmt.Errorf("egress of link %d: %w", ifindex, ErrNoLink)
}

// setNeighbour tells what follows from a neighbour's new state.
func (m *Mirror) setNeighbour(at place, k known) {
	m.mu.Lock()
	old := m.neighbours[at]
	if k == (known{}) {
		delete(m.neighbours, at)
		m.forgotten(at)
	} else {
		m.neighbours[at] = k
	}
	m.mu.Unlock()
	if f := m.cfg.OnNeighbour; f != nil && (old.mac != k.mac || old.state != k.state || k.state == Failed) {
		m.tell(func() { f(at.with(k)) })
	}
}

// setAddress applies one address that came or went.
func (m *Mirror) setAddress(a Address) {
	m.mu.Lock()
	at := slices.IndexFunc(m.addresses, a.same)
	changed := true
	switch {
	case a.Removed && at < 0:
		changed = false
	case a.Removed:
		m.addresses = slices.Delete(m.addresses, at, at+1)
	case at < 0:
		m.addresses = append(m.addresses, a)
	default:
		changed = m.addresses[at] != a
		m.addresses[at] = a
	}
	m.mu.Unlock()
	m.addressChanged(a, changed)
}

func (m *Mirror) addressChanged(a Address, changed bool) {
	if !changed {
		return
	}
	m.derived = true
	if f := m.cfg.OnAddress; f != nil {
		m.tell(func() { f(a) })
	}
}

// ownSet is the set that IsOwn asks.
func ownSet(all []Address) map[netip.Addr]struct{} {
	own := make(map[netip.Addr]struct{}, len(all))
	for _, a := range all {
		own[a.Prefix.Addr()] = struct{}{}
	}
	return own
}
