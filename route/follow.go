package route

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// batch is what one read of the event socket brought.
type batch struct {
	messages []syscall.NetlinkMessage
	lost     bool // the kernel had no room for more
}

// listener is the socket that brings events of all kinds, in one order.
type listener struct{ socket *nl.NetlinkSocket }

const eventBuffer = 8 << 20

func newListener(buffer int) (*listener, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
		unix.RTNLGRP_NEXTHOP)
	if err != nil {
		return nil, fmt.Errorf("subscribe to netlink: %w", err)
	}
	if buffer == 0 {
		buffer = eventBuffer
	}
	if s.SetReceiveBufferSize(buffer, true) != nil {
		// Without the right to exceed the limit, the limit has to do.
		_ = s.SetReceiveBufferSize(buffer, false)
	}
	return &listener{s}, nil
}

func (l *listener) close() {
	if l != nil {
		l.socket.Close()
	}
}

// listen passes batches on until ctx ends.
func (l *listener) listen(ctx context.Context, to chan<- batch) {
	context.AfterFunc(ctx, l.socket.Close)
	for ctx.Err() == nil {
		messages, from, err := l.socket.Receive()
		if errors.Is(err, os.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err == nil && from.Pid != nl.PidKernel {
			continue
		}
		select {
		case to <- batch{messages, err != nil && !errors.Is(err, unix.EINTR)}:
		case <-ctx.Done():
		}
	}
}

// follower is the state that only the following goroutine touches.
type follower struct {
	tables    *tables
	paths     *paths
	rules     map[bool][]rule // by v6
	nexthops  map[uint32]nexthop
	told      []func()        // what to tell once the lock is gone
	warned    map[string]bool // warnings given
	derived   bool            // links, addresses or rules changed: ways must be made again
	changed   bool            // there is something to publish
	unruly    bool            // rules must be read again
	stale     bool            // routes must be read again
	lost      bool            // everything must be read again
	lastSync  time.Time
	syncPause time.Duration
	scratch   route
}

func newFollower() *follower {
	p := newPaths()
	return &follower{
		paths: p, tables: newTables(p), rules: map[bool][]rule{},
		nexthops: map[uint32]nexthop{}, warned: map[string]bool{},
	}
}

// Publication waits a little for the rest of a burst. Reading everything again
// is spaced so that it takes at most a fifth of the time.
const (
	settleTime = 5 * time.Millisecond
	syncShare  = 4
)

// follow applies events and publishes until ctx ends.
func (m *Mirror) follow(ctx context.Context, queue <-chan batch) {
	settle := time.NewTimer(time.Hour)
	upkeep := time.NewTicker(upkeepGap)
	defer settle.Stop()
	defer upkeep.Stop()
	var at time.Time // when settle fires, zero = it does not
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-queue:
			m.apply(b)
		case now := <-upkeep.C:
			m.upkeep(now)
		case <-settle.C:
			at = time.Time{}
			m.refresh()
		}
		m.tellAll()
		if wait := m.due(); wait >= 0 {
			if then := time.Now().Add(wait); at.IsZero() || then.Before(at) {
				at = then
				settle.Reset(wait)
			}
		}
	}
}

// due says how long to wait before refresh, -1 for no need.
func (m *Mirror) due() time.Duration {
	switch {
	case m.changed || m.derived || m.unruly:
		return settleTime
	case m.stale || m.lost:
		return max(settleTime, time.Until(m.lastSync.Add(m.syncPause)))
	}
	return -1
}

// refresh reads again what has to be and publishes.
func (m *Mirror) refresh() {
	if m.unruly && m.readRules() != nil {
		m.lost = true
	}
	if (m.stale || m.lost) && time.Since(m.lastSync) >= m.syncPause {
		begin := time.Now()
		err := m.reread()
		m.lastSync, m.syncPause = time.Now(), syncShare*time.Since(begin)
		if err != nil {
			m.lost, m.syncPause = true, max(m.syncPause, time.Second)
			m.cfg.Log.Warn("cannot read routes from the kernel, trying again", "error", err)
		}
	}
	if m.changed || m.derived {
		m.publish()
		if f, g := m.cfg.OnRoutes, m.Generation(); f != nil {
			m.tell(func() { f(g) })
		}
	}
}

func (m *Mirror) reread() error {
	if m.lost {
		return m.resync()
	}
	return m.readRoutes()
}

func (m *Mirror) tell(f func()) { m.told = append(m.told, f) }

func (m *Mirror) tellAll() {
	for _, f := range m.told {
		f()
	}
	m.told = m.told[:0]
}

// warn logs a sentence the first time it is said.
func (m *Mirror) warn(sentence string, args ...any) {
	if !m.warned[sentence] {
		m.warned[sentence] = true
		m.cfg.Log.Warn(sentence, args...)
	}
}

// publish makes a new snapshot.
func (m *Mirror) publish() {
	old := m.snapshot.Load()
	s := &snapshot{generation: 1}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old != nil {
		*s = *old
		s.generation++
	}
	if old == nil || m.derived {
		s.own = ownSet(m.addresses)
	}
	if old == nil || m.derived || m.paths.changed {
		s.ways = make([]way, len(m.paths.all))
		for n := range m.paths.all {
			s.ways[n] = m.way(&m.paths.all[n].path)
		}
	}
	s.v4 = steps(m.rules[false], false, m.tables, m.links)
	s.v6 = steps(m.rules[true], true, m.tables, m.links)
	m.snapshot.Store(s)
	m.derived, m.changed, m.paths.changed = false, false, false
}

// way adds to a path what links and addresses say. The caller holds m.mu.
func (m *Mirror) way(p *path) way {
	if len(p.hops) == 0 {
		return way{next: Next{Kind: p.kind}}
	}
	var total, sum uint64
	for _, h := range p.hops {
		total += uint64(h.weight)
	}
	w := way{next: m.next(p, p.hops[0])}
	if len(p.hops) == 1 {
		return w
	}
	for _, h := range p.hops {
		sum += uint64(h.weight)
		w.shares = append(w.shares, share{uint32(sum<<32/total - 1), m.next(p, h)})
	}
	return w
}

func (m *Mirror) next(p *path, h hop) Next {
	n := Next{Ifindex: h.ifindex, Gateway: h.gateway, Kind: p.kind, Source: p.source}
	n.MTU = m.links[h.ifindex].MTU
	if p.mtu != 0 && int(p.mtu) < n.MTU {
		n.MTU = int(p.mtu)
	}
	if !n.Source.IsValid() && p.kind == Unicast {
		n.Source = sourceFor(m.addresses, h.ifindex, h.gateway, p.v6)
	}
	return n
}

// nexthop is a nexthop object: one hop, a blackhole, or a group of others.
type nexthop struct {
	hop       hop
	blackhole bool
	group     []member
	beyond    bool
}

type member struct {
	id     uint32
	weight uint32
}

func decodeNexthop(b []byte) (id uint32, n nexthop, ok bool) {
	if len(b) < sizeofNhmsg {
		return 0, n, false
	}
	n.hop.weight = 1
	for kind, v := range attributes(b[sizeofNhmsg:]) {
		switch kind {
		case unix.NHA_ID:
			id = number(v)
		case unix.NHA_OIF:
			n.hop.ifindex = int(int32(number(v)))
		case unix.NHA_GATEWAY:
			n.hop.gateway = address(v)
		case unix.NHA_BLACKHOLE:
			n.blackhole = true
		case unix.NHA_ENCAP_TYPE, nhaResilientPart:
			n.beyond = true
		case unix.NHA_GROUP:
			for ; len(v) >= 8; v = v[8:] {
				n.group = append(n.group, member{number(v), uint32(v[4]) + 1})
			}
		}
	}
	return id, n, id != 0
}

// sizeofNhmsg is the length of struct nhmsg (include/uapi/linux/nexthop.h).
const sizeofNhmsg = 8

// expand fills in the hops of a route that names a nexthop object only.
func (m *Mirror) expand(r *route) {
	if r.nexthop == 0 || len(r.path.hops) > 0 {
		return
	}
	top := m.nexthops[r.nexthop]
	if top.blackhole {
		r.path.kind = Blackhole
	}
	if top.beyond {
		r.beyond = "a nexthop object of a special kind"
	}
	if top.hop.ifindex != 0 {
		r.path.hops = append(r.path.hops, top.hop)
	}
	for _, g := range top.group {
		if h := m.nexthops[g.id].hop; h.ifindex != 0 {
			h.weight = g.weight
			r.path.hops = append(r.path.hops, h)
		}
	}
}
