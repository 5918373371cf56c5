package route

import (
	"maps"
	"reflect"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// apply takes in what the event socket brought.
func (m *Mirror) apply(b batch) {
	if b.lost && !m.lost {
		m.lost = true
		m.cfg.Log.Info("events of the kernel were lost, everything is read again")
	}
	for i := range b.messages {
		m.event(&b.messages[i])
	}
}

func (m *Mirror) event(msg *syscall.NetlinkMessage) {
	b := msg.Data
	switch msg.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		m.routeEvent(b, msg.Header.Type == unix.RTM_NEWROUTE, int(msg.Header.Flags))
	case unix.RTM_NEWNEIGH:
		if at, k, ok := decodeNeighbour(b); ok {
			m.setNeighbour(at, k)
		}
	case unix.RTM_DELNEIGH:
		if at, _, ok := decodeNeighbour(b); ok {
			m.setNeighbour(at, known{})
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		m.addressEvent(b, msg.Header.Type == unix.RTM_DELADDR)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		m.linkEvent(b, msg.Header.Type == unix.RTM_DELLINK)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		m.unruly = true // rare, and a rule has no name to find it by
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		if id, n, ok := decodeNexthop(b); ok {
			if delete(m.nexthops, id); msg.Header.Type == unix.RTM_NEWNEXTHOP {
				m.nexthops[id] = n
			}
			m.stale = true // the kernel moves its routes without a word
		}
	}
}

// routeEvent applies one route. What an event cannot tell in full makes the
// routes stale: dead hops, and IPv6's routes of one metric, which it joins, lets
// take each other's place, and does not list when they lie among joined ones.
func (m *Mirror) routeEvent(b []byte, present bool, flags int) {
	r := &m.scratch
	if len(b) == 0 || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 || !r.decode(b, b[0]) {
		return
	}
	if !m.usable(r) {
		m.stale = true
		return
	}
	same, equals, joined := m.tables.standing(r)
	six := r.path.v6
	how := first
	switch {
	case flags&unix.NLM_F_REPLACE != 0:
		how = instead
	case flags&unix.NLM_F_APPEND != 0:
		how = last
	}
	switch {
	case present && same && six && how == instead && equals > 0:
		m.stale = true // it took the place of another beside its like
	case same == present: // an event that the last reading had foreseen
	case !present && same:
		m.stale = m.stale || six && (joined || m.tables.doubled(r))
		m.changed = m.tables.remove(r) || m.changed
	case six && (equals > 1 || joined), six && equals == 1 && how != instead:
		m.stale = true
	default:
		m.tables.add(r, how)
		m.changed = true
	}
	// It goes, and yet something like it stays: part of it, or a newer one.
	m.stale = m.stale || !present && !same && equals > 0
}

// usable completes a decoded route and reports whether it can be held. One
// that wants what cannot be given is held as unreachable, so that its traffic
// does not leave by a shorter prefix instead; one with a source prefix or tos
// is left out, as it concerns few packets.
func (m *Mirror) usable(r *route) bool {
	m.expand(r)
	if r.beyond != "" {
		m.warn("routes with "+r.beyond+" are not followed", "prefix", r.prefix.String())
		if r.narrow {
			return false
		}
		r.path.kind, r.path.hops = Unreachable, r.path.hops[:0]
	}
	return !r.forwards() || len(r.path.hops) > 0
}

func (m *Mirror) addressEvent(b []byte, removed bool) {
	a, ok := decodeAddress(b)
	if !ok {
		return
	}
	a.Removed = removed
	m.setAddress(a)
	// With an address the kernel drops, without a word, IPv4 routes that name
	// it as source, and with the last of a link all routes of that link.
	m.stale = m.stale || removed
}

func (m *Mirror) linkEvent(b []byte, removed bool) {
	l, ok := decodeLink(b)
	if !ok {
		return
	}
	m.mu.Lock()
	links := maps.Clone(m.links)
	m.mu.Unlock()
	old, there := links[l.Index]
	if removed {
		delete(links, l.Index)
	} else {
		l.Driver = old.Driver
		if !there || old.Name != l.Name {
			l.Driver = m.driver(l.Name)
		}
		links[l.Index] = l
	}
	// IPv4 routes of a link that goes down vanish without a word.
	m.stale = m.stale || removed || there && old.Up != l.Up
	m.setLinks(links)
	if l.Up && !old.Up {
		m.upkeep(time.Now())
	}
}

// setLinks takes over a new set of links and tells the differences.
func (m *Mirror) setLinks(links map[int]Link) {
	settle(links)
	m.mu.Lock()
	old := m.links
	m.links = links
	m.mu.Unlock()
	for index, l := range old {
		if _, ok := links[index]; !ok {
			l.Removed = true
			m.linkChanged(l)
		}
	}
	for _, index := range slices.Sorted(maps.Keys(links)) {
		if l := links[index]; !reflect.DeepEqual(l, old[index]) {
			m.linkChanged(l)
		}
	}
}

func (m *Mirror) linkChanged(l Link) {
	m.derived = true
	if f := m.cfg.OnLink; f != nil {
		m.tell(func() { f(l) })
	}
}

// driver asks the device for the name of its driver.
func (m *Mirror) driver(name string) string {
	info, err := unix.IoctlGetEthtoolDrvinfo(m.ioctl, name)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}
