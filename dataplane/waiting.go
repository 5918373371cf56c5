package dataplane

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
)

// hopPatience is how long a frame waits for the MAC of its hop. The kernel
// gives up after three probes, 3.07 s were seen; its word should come first.
const hopPatience = 3*Second + Second/10

// hopHaste is before when a failure is not believed: a neighbour that somebody
// deleted fails at once, one that does not answer takes the kernel's probes.
const hopHaste = Second

// hopMoment is how long a whole batch may wait for a hop: a neighbour that the
// kernel knows already is told of in less.
const hopMoment = Second / 100

// waiting holds translated frames whose hop is not known yet.
type waiting struct {
	frames []waitingFrame // oldest first, never more than its capacity
	others []waitingFrame // as much room, for those that stay
	perHop int
	seen   uint32 // Hops.changed when they were last looked at
	about  packet.Packet
}

type waitingFrame struct {
	frame nic.Frame
	hop   HopID
	since Time
	from  origin
}

func (q *waiting) init(l Limits, total int) {
	if q.perHop = l.WaitPerHop; q.perHop == 0 {
		q.perHop = 3
	}
	n := l.Waiting
	if n == 0 {
		n = max(total/32, 4)
	}
	q.frames, q.others = make([]waitingFrame, 0, n), make([]waitingFrame, 0, n)
}

func (q *waiting) len() int { return len(q.frames) }

// due reports whether a hop has changed since the last look.
func (q *waiting) due(h *Hops) bool { return len(q.frames) > 0 && h.changed.Load() != q.seen }

// add holds f until hop id is usable, within the limits.
func (q *waiting) add(w *Worker, f nic.Frame, id HopID, from origin) Reason {
	w.hops.again(id)
	w.hops.at(id).used.Store(uint32(w.tick)) // or it would be swept meanwhile
	if len(q.frames) == cap(q.frames) {
		return HoldFull
	}
	if q.crowded(id, w.now) {
		return NoHop
	}
	q.frames = append(q.frames, waitingFrame{f, id, w.now, from})
	return Unexplained
}

// crowded reports whether as many frames wait for a hop as may.
func (q *waiting) crowded(id HopID, now Time) bool {
	same := 0
	for i := range q.frames {
		if q.frames[i].hop == id {
			same++
		}
	}
	most := q.perHop
	if first := q.first(id); same > 0 && now-first < hopMoment && len(q.frames) < cap(q.frames)/2 {
		most = max(most, BatchSize)
	}
	return same >= most
}

// first returns since when something has been waiting for a hop.
func (q *waiting) first(id HopID) Time {
	for i := range q.frames {
		if q.frames[i].hop == id {
			return q.frames[i].since
		}
	}
	return 0
}

// look sends what can be sent and gives up what has waited too long.
func (q *waiting) look(w *Worker) {
	if len(q.frames) == 0 {
		return
	}
	changed := w.hops.changed.Load()
	if changed == q.seen && w.now-q.frames[0].since < hopPatience {
		return
	}
	q.seen = changed
	kept := q.others[:0]
	for _, x := range q.frames {
		switch state := w.hops.state(x.hop); {
		case state == HopUsable:
			w.depart(w.hops.at(x.hop), x.frame, w.pool.Data(x.frame))
		case state == HopFailed && w.now-q.first(x.hop) < hopHaste:
			w.hops.again(x.hop)
			kept = append(kept, x)
		case state == HopFailed:
			w.unreachable(&x)
		case w.now-x.since >= hopPatience:
			// The kernel would give up all that wait there, and so do we.
			w.hops.giveUp(x.hop)
			w.unreachable(&x)
		default:
			kept = append(kept, x)
		}
	}
	q.frames, q.others = kept, q.frames
}

// unreachable drops a frame that waited in vain and tells its sender. The
// error quotes the packet as IPVS does: with what was replaced in its place
// again, but the transport checksum of the translated one.
func (w *Worker) unreachable(x *waitingFrame) {
	p := &w.waiting.about
	if packet.Parse(w.pool.Data(x.frame), p) == packet.OK && packet.MayError(p) && w.tellUnreachable(x, p) {
		w.Counters.Dropped[NoHop]++
		w.Counters.Errors++
		return
	}
	w.drop(x.frame.Addr, NoHop)
}

func (w *Worker) tellUnreachable(x *waitingFrame, p *packet.Packet) bool {
	own, src := w.config.Links[x.from.link].source(p.V6), x.from.was.Addr
	near, far := packet.Destination, packet.Source
	if x.from.dir == conntrack.ToClient {
		src, near, far = own, far, near
	}
	p.Restore(x.from.was, near)
	p.PutPort(x.from.peer, far)
	if src == (packet.Addr{}) || !w.limiter.allow(w.now, p.Src) {
		return false
	}
	packet.FillRecordRoute(p, own)
	e := errHost.of(p.V6)
	n := packet.BuildError(w.scratch[:], p, src, e[0], e[1], 0)
	return n > 0 && w.reply(x.frame.Addr, n, x.from.link, x.from.mac)
}
