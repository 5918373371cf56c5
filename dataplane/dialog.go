package dataplane

import (
	"sync/atomic"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/ftp"
	"github.com/lvx-lb/lvx/packet"
)

// maxDialogs bounds the control connections of all workers that ask for data
// connections.
const maxDialogs = 1 << 16

// dialog is what is known of a control connection from its first request on.
// All but users and expects belongs to the worker of the connection.
type dialog struct {
	splice packet.Splice // the answer that the client was given last
	port   uint16        // that it names
	given  ftp.Mode      // and how
	asked  ftp.Mode      // what the client waits for
	users  atomic.Int32  // the control connection, data connections, and expected ones
	chain  uint32        // the next free one

	expects [maxOfDialog]uint16 // data connections, oldest first; FTP's lock guards it
}

// helped marks a connection that has a side.
const helped = assured << 1

// side is what the record of such a connection has no room for.
type side struct {
	dialog       uint32 // 0 = none yet
	vport, rport uint16 // of a data connection; 0 = it is a control connection
}

// takeSides makes w ready for the connections that c helps.
func (w *Worker) takeSides(c *Config) {
	if c.ftp != nil && w.sides == nil {
		w.sides = make([]side, w.table.Slots())
		w.table.Spare = w.spare
	}
}

// openDialog returns an empty dialog, 0 if there is no room.
func (f *FTP) openDialog() uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.freeDialog
	switch {
	case n != 0:
		f.freeDialog = f.dialogs[n-1].chain
	case f.usedDialogs < len(f.dialogs):
		f.usedDialogs++
		n = uint32(f.usedDialogs)
	default:
		return 0
	}
	d := &f.dialogs[n-1]
	d.splice, d.given, d.asked = packet.Splice{}, ftp.None, ftp.None
	d.users.Store(1)
	return n
}

// hangUp takes one of its users from dialog n.
func (f *FTP) hangUp(n uint32) {
	d := &f.dialogs[n-1]
	if d.users.Add(-1) == 0 {
		d.chain, f.freeDialog = f.freeDialog, n
	}
}

// ended lets go of what a connection that was helped had.
func (f *FTP) ended(s *side) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.vport != 0 {
		f.await(s.vport, s.rport, -1)
	}
	if s.dialog != 0 {
		f.hangUp(s.dialog)
	}
	*s = side{}
}

// isData reports whether a connection is a data connection of FTP.
func (w *Worker) isData(at conntrack.Index, rec *conntrack.Record) bool {
	return rec.Flags&helped != 0 && w.sides[at].vport != 0
}

// aheadOf returns what the server's sequence numbers are more at the client.
func (w *Worker) aheadOf(at conntrack.Index, rec *conntrack.Record) uint32 {
	if rec.Flags&helped == 0 || w.sides[at].vport != 0 || w.sides[at].dialog == 0 {
		return 0
	}
	return w.config.ftp.dialogs[w.sides[at].dialog-1].splice.After
}

// spare reports whether a connection outlives its time: a control connection
// does, as with IPVS, while it has data connections.
func (w *Worker) spare(at conntrack.Index, rec *conntrack.Record) bool {
	if rec.Flags&helped == 0 || w.sides[at].vport != 0 {
		return false
	}
	n := w.sides[at].dialog
	return n != 0 && w.config.ftp.dialogs[n-1].users.Load() > 1
}
