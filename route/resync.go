package route

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// resync reads everything from the kernel and tells the differences.
func (m *Mirror) resync() error {
	m.lost = false
	for _, read := range []func() error{m.readLinks, m.readAddresses, m.readNeighbours, m.readRules, m.readNexthops, m.readRoutes} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mirror) readLinks() error {
	var links map[int]Link
	err := m.dumps.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg),
		func() { links = map[int]Link{} },
		func(b []byte) {
			if l, ok := decodeLink(b); ok {
				l.Driver = m.driver(l.Name)
				links[l.Index] = l
			}
		})
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	m.setLinks(links)
	return nil
}

func (m *Mirror) readAddresses() error {
	var all []Address
	err := m.dumps.dump(unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg),
		func() { all = nil },
		func(b []byte) {
			if a, ok := decodeAddress(b); ok {
				all = append(all, a)
			}
		})
	if err != nil {
		return fmt.Errorf("read addresses: %w", err)
	}
	m.mu.Lock()
	old := m.addresses
	m.addresses = all
	m.mu.Unlock()
	before := map[Address]bool{}
	for _, a := range old {
		before[a] = true
	}
	now := map[Address]bool{}
	for _, a := range all {
		now[a] = true
		m.addressChanged(a, !before[a])
	}
	for _, a := range old {
		gone := !now[a]
		a.Removed = true
		m.addressChanged(a, gone)
	}
	return nil
}

func (m *Mirror) readNeighbours() error {
	var all map[place]known
	err := m.dumps.dump(unix.RTM_GETNEIGH, make([]byte, unix.SizeofNdMsg),
		func() { all = map[place]known{} },
		func(b []byte) {
			if at, k, ok := decodeNeighbour(b); ok {
				all[at] = k
			}
		})
	if err != nil {
		return fmt.Errorf("read neighbours: %w", err)
	}
	for at := range m.neighbours { // written by this goroutine alone
		if _, ok := all[at]; !ok {
			m.setNeighbour(at, known{})
		}
	}
	for at, k := range all {
		m.setNeighbour(at, k)
	}
	return nil
}

func (m *Mirror) readRules() error {
	m.unruly = false
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		header := make([]byte, unix.SizeofRtMsg)
		header[0] = family
		var rules []rule
		err := m.dumps.dump(unix.RTM_GETRULE, header,
			func() { rules = nil },
			func(b []byte) {
				if r, ok := decodeRule(b, family); ok {
					rules = append(rules, r)
				}
			})
		switch {
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
			rules = defaultRules()
		case err != nil:
			return fmt.Errorf("read rules: %w", err)
		}
		for _, r := range rules {
			if r.beyond != "" {
				m.warn("ip rules with "+r.beyond+" are skipped", "priority", r.priority)
			}
		}
		m.rules[family == unix.AF_INET6] = rules
	}
	m.derived = true
	return nil
}

func (m *Mirror) readNexthops() error {
	err := m.dumps.dump(unix.RTM_GETNEXTHOP, make([]byte, sizeofNhmsg),
		func() { clear(m.nexthops) },
		func(b []byte) {
			if id, n, ok := decodeNexthop(b); ok {
				m.nexthops[id] = n
			}
		})
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("read nexthops: %w", err)
	}
	return nil
}

// readRoutes reads the routes of both families into new tables.
func (m *Mirror) readRoutes() error {
	m.stale = false
	fresh := newTables(m.paths)
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		header := make([]byte, unix.SizeofRtMsg)
		header[0] = family
		err := m.dumps.dump(unix.RTM_GETROUTE, header,
			func() { fresh.drop(family == unix.AF_INET6) },
			func(b []byte) {
				if m.scratch.decode(b, family) && m.usable(&m.scratch) {
					fresh.load(&m.scratch)
				}
			})
		if err != nil {
			fresh.release()
			return fmt.Errorf("read routes: %w", err)
		}
	}
	if !m.tables.same(fresh) {
		m.changed = true
	}
	old := m.tables
	m.tables = fresh
	old.release()
	return nil
}
