package dataplane

import "github.com/lvx-lb/lvx/conntrack"

const expireVisits = 256 // of the table's records in a round

// expire ends connections whose time has come and looks at what is held.
func (w *Worker) expire() {
	w.overdue = w.table.Expire(w.tick, expireVisits) == expireVisits
	w.Counters.Expired += uint64(len(w.table.Gone()))
	w.settleGone()
	w.goOnSevering()
	w.goOnProbing()
	w.frags.expire(w)
	w.defend()
	w.dropOrphans()
	if t := w.config.templates; t != nil {
		t.sweep(w.tick)
	}
	if f := w.config.ftp; f != nil {
		f.sweep(w.tick)
	}
}

// settleGone takes ended connections off their servers' counts.
func (w *Worker) settleGone() {
	gone := w.table.Gone()
	if len(gone) == 0 {
		return
	}
	for _, g := range gone {
		if s := w.config.servers[g.Server]; s != nil {
			s.end(g.State)
		}
		if g.Flags&helped != 0 {
			w.config.ftp.ended(&w.sides[g.Index])
		}
		if g.Flags&controlled != 0 {
			w.config.templates.release(w.control[g.Index], w.tick)
		}
	}
	w.table.ClearGone()
}

// sweep is a walk through some places of the table, a part of it each round.
type sweep struct {
	at   conntrack.Index
	left int
}

const sweepSlots = 8192 // a round: a fraction of a millisecond

func (s *sweep) walk(w *Worker, f func(conntrack.Index, *conntrack.Record)) {
	n := min(s.left, sweepSlots, w.table.Slots()-int(s.at))
	s.left -= n
	if s.at = w.table.Walk(s.at, n, f); s.at == conntrack.None {
		s.at = 0
	}
}

// end ends a connection.
func (w *Worker) end(at conntrack.Index) {
	w.table.Remove(at)
	w.settleGone()
}

// endSpent ends the connections of datagrams whose answers nobody awaits.
func (w *Worker) endSpent() {
	for _, name := range w.spent {
		if at := w.table.Named(name); at != conntrack.None {
			w.table.Remove(at)
		}
	}
	w.spent = w.spent[:0]
	w.settleGone()
}

// sweeps reports whether there is work that should not wait.
func (w *Worker) sweeps() bool {
	return w.overdue || w.defence.weak.left > 0 || w.orphans.left > 0 || w.masterless >= 0 || w.severing.left > 0
}

// dropOrphans ends the connections of deleted servers after each deletion, if
// expire_nodest_conn says so, and then the templates.
func (w *Worker) dropOrphans() {
	if n := w.config.deletions.Load(); n != w.deletions {
		w.deletions = n
		if w.config.Settings.ExpireNodestConn != 0 {
			w.orphans.left = w.table.Slots()
			if w.config.ftp != nil {
				w.config.ftp.dropOrphans()
			}
		}
	}
	if w.masterless >= 0 {
		w.masterless = w.config.templates.dropOrphans(w.masterless)
	}
	if w.orphans.left == 0 {
		return
	}
	w.orphans.walk(w, func(i conntrack.Index, rec *conntrack.Record) {
		if s := w.config.servers[rec.Server]; s != nil && s.deleted.Load() {
			w.end(i)
		}
	})
	if w.orphans.left == 0 && w.config.templates != nil {
		w.masterless = 0
	}
}
