package conntrack

// The wheel is lazy. A packet only writes when the connection was last seen;
// the wheel visits the record at the deadline it once had and links it anew if
// that has moved on. Only a deadline that comes nearer relinks at once, so the
// visit never comes too late:
//
//	tick of the spoke ≤ deadline, or the spoke is the farthest one
//
// Half-open connections have a rim of their own, where the oldest is found
// when the table is full. Those that are established meanwhile stay there
// until a visit.

const (
	spokes  = 1 << 14 // 27 minutes; what lies beyond is visited then
	halfRim = spokes  // first spoke of the half-open rim
)

// spoke is one tick of the wheel: a list of records, oldest link first.
type spoke struct{ first, last Index }

type wheel struct {
	spokes   []spoke // both rims
	next     Tick    // the first tick that is not swept yet
	halfFrom Tick    // no half-open connection is linked before
}

func newWheel() wheel {
	w := wheel{spokes: make([]spoke, 2*spokes)}
	for i := range w.spokes {
		w.spokes[i] = spoke{None, None}
	}
	return w
}

// ahead returns how many ticks after w.next a visit at the deadline comes.
func (w *wheel) ahead(deadline Tick) Tick {
	return Tick(max(0, min(int32(deadline-w.next), spokes-1)))
}

// link puts a record where its deadline and state belong.
func (t *Table) link(i Index, r *Record) {
	w := &t.wheel
	tick := w.next + w.ahead(r.deadline())
	at := uint32(tick) % spokes
	if r.State.HalfOpen() {
		at += halfRim
		if int32(tick-w.halfFrom) < 0 {
			w.halfFrom = tick
		}
	}
	s := &w.spokes[at]
	r.spoke, r.next, r.prev = uint16(at), None, s.last
	if s.last == None {
		s.first = i
	} else {
		t.slots[s.last].next = i
	}
	s.last = i
}

func (t *Table) unlink(r *Record) {
	s := &t.wheel.spokes[r.spoke]
	if r.prev == None {
		s.first = r.next
	} else {
		t.slots[r.prev].next = r.next
	}
	if r.next == None {
		s.last = r.prev
	} else {
		t.slots[r.next].prev = r.prev
	}
}

func (t *Table) relink(i Index, r *Record) {
	t.unlink(r)
	t.link(i, r)
}

// nearer relinks a record whose deadline has come before its visit.
func (t *Table) nearer(i Index, r *Record) {
	w := &t.wheel
	if w.ahead(r.deadline()) < (Tick(r.spoke)-w.next)%spokes {
		t.relink(i, r)
	}
}

// Expire removes the connections whose deadline has come, visiting at most
// budget records, and returns how many it visited: fewer than budget means
// that nothing is left to do, or that Gone wants to be cleared.
func (t *Table) Expire(now Tick, budget int) int {
	w := &t.wheel
	if lag := int32(now - w.next); lag >= spokes {
		// Every spoke is due; one turn visits all of them.
		w.next = now - (spokes - 1)
		w.halfFrom = w.next
	}
	left := budget
	for int32(now-w.next) >= 0 {
		at := uint32(w.next) % spokes
		left = t.sweep(at, now, left)
		left = t.sweep(at+halfRim, now, left)
		if w.spokes[at].first != None || w.spokes[at+halfRim].first != None {
			break
		}
		w.next++
	}
	if int32(w.next-w.halfFrom) > 0 {
		w.halfFrom = w.next
	}
	return budget - left
}

// sweep visits the records of one spoke and returns what is left of the budget.
// It takes them from both ends in turn: a neighbour's line, touched when a
// record leaves the list, has time to come while the other end is treated.
func (t *Table) sweep(at uint32, now Tick, budget int) int {
	s := &t.wheel.spokes[at]
	for ; budget > 0 && s.first != None && len(t.gone) < goneStop; budget-- {
		i := s.first
		if budget&1 != 0 {
			i = s.last
		}
		r := &t.slots[i]
		if int32(r.deadline()-now) <= 0 && !t.spared(i, r, now) {
			t.drop(i, r)
		} else {
			t.relink(i, r)
		}
	}
	return budget
}

// spareTime is how long a connection that is spared lives on, as in IPVS one
// that controls others.
const spareTime = 60 * Second

// spared reports whether a connection lives on although its time is over.
func (t *Table) spared(i Index, r *Record, now Tick) bool {
	if t.Spare != nil && t.Spare(i, r) {
		r.LastSeen, r.Timeout = now, spareTime
		return true
	}
	if t.Idle == nil || r.State != Established {
		return false
	}
	longer := t.Idle(i, r)
	if longer > 0 {
		r.Timeout = now - r.LastSeen + longer
	}
	return longer > 0
}

// oldestHalfOpen returns the half-open connection nearest to its deadline, or
// None. It looks at no more than a few records that do not belong there any
// more, and puts them right, so a crowd of them is worked off over many calls.
func (t *Table) oldestHalfOpen() Index {
	w := &t.wheel
	if int32(w.next-w.halfFrom) > 0 {
		w.halfFrom = w.next
	}
	touched := None
	for looks := 64; w.halfFrom-w.next < spokes; w.halfFrom++ {
		s := &w.spokes[halfRim+uint32(w.halfFrom)%spokes]
		for s.first != None {
			i := s.first
			r := &t.slots[i]
			halfOpen := r.State.HalfOpen()
			if halfOpen && w.ahead(r.deadline()) <= w.halfFrom-w.next {
				return i
			}
			if halfOpen && touched == None {
				touched = i
			}
			if looks--; looks == 0 {
				return touched
			}
			t.relink(i, r)
		}
	}
	return touched
}
