package lvx

import (
	"fmt"
	"slices"

	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/nic/xsk"
	"github.com/lvx-lb/lvx/rss"
)

// How frames come to the workers that own their connections.
const (
	oneWorker  = "one worker"
	byTheNICs  = "by the NICs' choice of queue" // public ones hash the source, private ones the destination
	byHandOver = "by hand-over"                 // from worker to worker
)

// misplacedShare of the frames may come to the wrong worker before the
// operator hears of it: NICs cannot place some, as fragments.
const misplacedShare = 100

// members tells which side of each NIC clients are on. A NIC with links on
// both sides hashes one way for both, so it cannot place packets.
func (l *links) members(public []string, queues []int, m machine) ([]rss.Member, error) {
	all := make([]rss.Member, len(l.nics))
	seen := rss.Fields(0)
	for i, n := range l.nics {
		all[i] = rss.Member{NIC: m.Placing(n.name), Name: n.name, Queues: queues[i]}
	}
	for _, f := range l.list {
		side := rss.Destination
		if slices.Contains(public, f.name) {
			side = rss.Source
		}
		member := &all[f.nic]
		if member.Side |= side; member.Side != side {
			return nil, fmt.Errorf("%w: %s has clients and servers", rss.ErrSide, member.Name)
		}
		seen |= side
	}
	if seen != rss.Source|rss.Destination {
		return nil, fmt.Errorf("%w: clients and servers share all of them", rss.ErrSide)
	}
	return all, nil
}

// place has the NICs place packets by the client where they can, and tells the
// workers what became of it.
func (d *Director) place() error {
	if d.crew == nil {
		d.placing = oneWorker
		return nil
	}
	queues := make([]int, len(d.rings.sockets))
	for i, sockets := range d.rings.sockets {
		queues[i] = len(sockets)
	}
	m := thisMachine{d.mirror}
	members, why := d.links.members(d.cfg.Public, queues, m)
	var placed *rss.Placement
	if why == nil {
		var err error
		if placed, why, err = d.settings.place(m, members, len(d.workers)); err != nil {
			return err
		}
	}
	d.crew.Place(placed)
	if placed == nil {
		d.placing = byHandOver
		d.log.Info("workers hand frames over to each other", "because", why)
		return nil
	}
	d.placing = byTheNICs
	for _, m := range members {
		d.log.Info("NIC places packets by the client", "nic", m.Name, "hashes", m.Side, "queues", m.Queues, "workers", len(d.workers))
	}
	return nil
}

// place changes members, noted before, or leaves them as they were and says
// why.
func (s *settings) place(m machine, members []rss.Member, workers int) (placed *rss.Placement, why, err error) {
	s.note.Placing = map[string]rss.Saved{}
	for _, member := range members {
		saved, why := rss.Save(member.NIC)
		if why != nil {
			s.note.Placing = nil
			return nil, fmt.Errorf("%w: %w", rss.ErrSide, why), nil
		}
		s.note.Placing[member.Name] = saved
	}
	if err := s.write(); err != nil {
		return nil, nil, err
	}
	if placed, why = rss.BySide(members, workers); why == nil {
		return placed, nil, nil
	}
	if err := s.putPlacingBack(m); err != nil {
		s.log.Warn("a NIC does not place packets as before", "error", err)
	}
	return nil, why, s.write()
}

// Placing is a NIC's choice of queues.
func (thisMachine) Placing(nic string) rss.NIC { return xsk.Placing(nic) }

// noteMisplaced warns once when NICs that said that they place packets by the
// client do not.
func (d *Director) noteMisplaced() {
	if d.placing != byTheNICs || d.misplaced {
		return
	}
	var sum dataplane.Counters
	d.each(func(w *worker) {
		sum.Received += w.Counters.Received
		sum.Misplaced += w.Counters.Misplaced
	})
	if sum.Misplaced > 1000 && sum.Misplaced > sum.Received/misplacedShare {
		d.misplaced = true
		d.log.Warn("the NICs do not place packets by the client as they said; workers hand them over", "misplaced", sum.Misplaced, "received", sum.Received)
	}
}
