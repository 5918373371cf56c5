package oracle

import (
	"fmt"
	"slices"
	"time"
)

// timers know when the kernel's connections and templates may run out. Its
// timers are late, never early, by as much as lateness says; within that time
// nobody knows what the kernel does with a packet, and no step may happen.
type timers struct {
	windows   map[conn]window
	templates map[conn]*stretch
	confused  string // a template and what it controls ran out in an order that nobody knows
}

// window is when a timer may run out.
type window struct{ deadline, from, to time.Duration }

// stretch is how a template lives on: each time that its timer runs out while
// it controls connections it begins anew, later and later.
type stretch struct {
	deadline time.Duration
	late     time.Duration // the timer that runs, at most
	slack    time.Duration // those before it
}

const (
	// margin is for the ticks of lvx, on both sides of a window.
	margin = 300 * time.Millisecond
	// glance is how often windows are looked for.
	glance = 200 * time.Millisecond
)

func newTimers() *timers {
	return &timers{windows: map[conn]window{}, templates: map[conn]*stretch{}}
}

// lateness is how much later than asked a timer of the kernel may run out: the
// farther away it is, the coarser is its wheel.
func lateness(d time.Duration) time.Duration {
	const jiffy = time.Second / 250
	grain := jiffy
	for reach := 63 * jiffy; d >= reach; reach *= 8 {
		grain *= 8
	}
	return grain
}

// name is what tells a connection or a template from others.
func (c conn) name() conn {
	c.state, c.expires, c.left, c.timeout = "", 0, 0, 0
	return c
}

func (c conn) isTemplate() bool { return c.client.Port() == 0 && !c.awaited }

// isControl reports whether c is a control connection of FTP, which lives on as
// templates do while it has data connections.
func (c conn) isControl() bool { return c.proto == "TCP" && c.virtual.Port() == 21 }

// observe looks at the twin's table, at least once in a glance.
func (k *timers) observe(x *twin) {
	for name, w := range k.windows {
		if w.to <= x.now {
			delete(k.windows, name)
		}
	}
	known, now := k.templates, x.now.Truncate(tick) // what is left is counted in ticks
	k.templates = map[conn]*stretch{}
	for _, c := range x.rows() {
		late := lateness(c.timeout)
		if c.isTemplate() || c.isControl() {
			s := k.follow(now, before(known, c), c)
			late = s.late + s.slack
			k.templates[c.name()] = s
		}
		if c.left <= margin {
			deadline := k.windows[c.name()].deadline
			if c.left > 0 || deadline == 0 {
				deadline = now + c.left
			}
			k.windows[c.name()] = window{deadline, deadline - margin, deadline + late + margin}
		}
	}
	k.confuse()
}

// before returns what was known of a template, also when it has another name
// since its server is gone.
func before(known map[conn]*stretch, c conn) *stretch {
	if s := known[c.name()]; s != nil || c.real.Port() != void {
		return s
	}
	for t, s := range known {
		if t.proto == c.proto && t.client == c.client && t.real.Addr() == c.real.Addr() && t.real.Port() != void {
			return s
		}
	}
	return nil
}

// void is the port of a template that keeps nobody any more.
const void = 65535

// follow notes what has become of a template: nothing, a new stretch because
// its client called, or one more because its time was over.
func (k *timers) follow(now time.Duration, s *stretch, c conn) *stretch {
	deadline := now + c.left
	const step = time.Minute
	if s == nil {
		return &stretch{deadline: deadline, late: lateness(max(c.left, step))}
	}
	switch more := deadline - s.deadline; {
	case more == 0 || c.left == 0:
	case s.deadline > now+margin || more%step != 0:
		return &stretch{deadline: deadline, late: lateness(c.left)}
	default:
		s.slack += s.late + (more/step-1)*lateness(step)
		s.deadline, s.late = deadline, lateness(step)
	}
	return s
}

// confuse looks for a template that may run out while a connection that it may
// control does: whether it lives on depends on which is first. Of two that
// began at once the connection is.
func (k *timers) confuse() {
	for t, w := range k.windows {
		for c, v := range k.windows {
			if t.mayControl(c) && w.deadline != v.deadline && w.from < v.to && v.from < w.to {
				k.confused = fmt.Sprintf("from %v to %v %v may run out, and %v from %v to %v", w.from-epoch, w.to-epoch, t, c, v.from-epoch, v.to-epoch)
			}
		}
	}
}

// masks are those that scenarios have persistent services use, beside none.
var masks = []int{24, 29, 31, 64, 127}

// mayControl reports whether c is a template of other's client, or of a
// network around it, or the control connection that other may belong to.
func (c conn) mayControl(other conn) bool {
	if c.isControl() && !other.isControl() && !other.isTemplate() {
		return c.client.Addr() == other.client.Addr() && c.real.Addr() == other.real.Addr()
	}
	if !c.isTemplate() || other.isTemplate() || c.proto != other.proto && c.proto != "IP" || c.real.Addr() != other.real.Addr() {
		return false
	}
	of, by := other.client.Addr(), c.client.Addr()
	return of == by || slices.ContainsFunc(masks, func(bits int) bool {
		p, err := of.Prefix(bits)
		return err == nil && p.Addr() == by
	})
}

// doubt returns until when it is not known what the kernel has, 0 if it is.
func (k *timers) doubt(now, inside time.Duration) (until time.Duration) {
	for _, w := range k.windows {
		if w.from+inside < now && now < w.to-inside {
			until = max(until, w.to)
		}
	}
	return until
}

// slack returns how much later than lvx the kernel may let a template run out.
func (k *timers) slack(c conn) time.Duration {
	if s := k.templates[c.name()]; s != nil {
		return s.slack
	}
	return 0
}

func (k *timers) String() string {
	text := ""
	for c, w := range k.windows {
		text += fmt.Sprintf("  %v may run out from %v to %v\n", c, w.from-epoch, w.to-epoch)
	}
	return text
}
