package dataplane

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
)

// A kernel leaves checksums to a NIC that is none, to a veth say. Where the
// frame leaves by such a NIC too, lvx leaves them as well: nobody computes
// them then, unless the frame goes on to a real one.

// finishes reports whether the NIC of a hop takes unfinished checksums.
func (w *Worker) finishes(h *hop) bool { return w.nics[w.config.exitOf(h.link()).nic].finishes }

// leaveChecksum translates packet i, if its checksum is unfinished and may stay
// so. Of a control connection of FTP the text may yet change.
func (w *Worker) leaveChecksum(b *Batch, i int, rec *conntrack.Record, r *packet.Rewrite, side packet.Side, id HopID) bool {
	p := &b.packets[i]
	if b.whole || rec.Flags&helped != 0 || !w.finishes(w.hops.at(id)) || !p.Unfinished() {
		return false
	}
	p.TranslateUnfinished(r, side)
	start, offset := p.ChecksumAt()
	w.pool.LeaveChecksum(&b.frames[i], start, offset)
	return true
}

// leavePlain leaves the checksum of the plain packet in f, translated.
func (w *Worker) leavePlain(p *packet.Plain, f *nic.Frame) {
	p.Unfinish(w.pool.Data(*f))
	start, offset := p.ChecksumAt()
	w.pool.LeaveChecksum(f, start, offset)
}

// finish computes the checksum of packet i if it was left, for a frame that is
// cut, moved or held before it leaves.
func (w *Worker) finish(b *Batch, i int) {
	if f := &b.frames[i]; f.Options == nic.FinishChecksum {
		b.packets[i].FillChecksum()
		f.Options = 0
	}
}
