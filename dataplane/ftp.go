package dataplane

import (
	"slices"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/ftp"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// Help for FTP, as ip_vs_ftp gives it: what clients and servers say on control
// connections is read, a server that names itself names the VIP, and the data
// connections that follow are opened.

// controls reports whether connections to a port are control connections.
func (f *FTP) controls(proto uint8, port uint16) bool {
	return f != nil && proto == packet.TCP && slices.Contains(f.ports, port)
}

// attend marks a new connection as a control connection, if it is one.
func (w *Worker) attend(at conntrack.Index, rec *conntrack.Record) {
	if w.config.ftp.controls(rec.Proto(), rec.VPort) {
		rec.Flags |= helped
		w.sides[at] = side{}
	}
}

// converse treats packet i, already translated, of a connection that is helped.
// It reports whether the packet goes on. Data connections need nothing more.
func (w *Worker) converse(b *Batch, i int, rec *conntrack.Record, s *Server) bool {
	p, x := &b.packets[i], &w.sides[b.conn[i]]
	if x.vport != 0 {
		return true
	}
	at, end := p.Text()
	if b.dir[i] == conntrack.ToServer {
		if x.dialog != 0 {
			w.config.ftp.dialogs[x.dialog-1].splice.Unshift(p)
		}
		if end == at || !rec.State.Established() {
			return true
		}
		read := ftp.ReadRequest
		if !w.careful() {
			read = ftp.ReadRequestAsIPVS
		}
		return w.request(b, i, rec, s, read(p.Data[at:end]))
	}
	if x.dialog == 0 {
		return true
	}
	d := &w.config.ftp.dialogs[x.dialog-1]
	if !d.splice.Open() && d.asked != ftp.None && rec.State.Established() {
		read := ftp.ReadAnswer
		if !w.careful() {
			read = ftp.ReadAnswerAsIPVS
		}
		if a, ok := read(p.Data[at:end], d.asked); ok {
			w.promise(b, i, d, s, &a)
		}
	}
	return w.retell(b, i, d)
}

// careful reports whether FTP is treated with more care than IPVS has.
func (w *Worker) careful() bool { return w.config.Deviations.Has(service.CarefulFTP) }

// heeds reports whether r of a client is to be heard. Data connections to others
// than the two parties are none, but as IPVS has it.
func (w *Worker) heeds(r *ftp.Request, client packet.Addr) bool {
	switch r.Mode {
	case ftp.Active:
		return r.Client.Addr == client || r.Client.Addr.Is4() == client.Is4() && !w.careful()
	case ftp.Passive:
		return client.Is4()
	}
	return r.Mode != ftp.None
}

// request notes what the client of packet i asks for.
func (w *Worker) request(b *Batch, i int, rec *conntrack.Record, s *Server, r ftp.Request) bool {
	if !w.heeds(&r, b.client[i].Addr) {
		return true
	}
	f, x := w.config.ftp, &w.sides[b.conn[i]]
	if x.dialog == 0 {
		if x.dialog = f.openDialog(); x.dialog == 0 {
			b.finish(i, Drop, DialogsFull)
			return false
		}
	}
	d := &f.dialogs[x.dialog-1]
	if r.Mode != ftp.Active {
		d.asked = r.Mode
		return true
	}
	d.asked = ftp.None
	virtual := packet.Endpoint{Addr: w.table.Virtual(b.conn[i]), Port: rec.VPort - 1}
	f.expect(expectation{
		expectationKey: expectationKey{r.Client, packet.Endpoint{Addr: s.real.Addr, Port: rec.RPort - 1}},
		server:         s, virtual: virtual, rport: rec.RPort - 1, dialog: x.dialog,
	}, w.table.Timeout(conntrack.Listen), w.tick)
	return true
}

// promise expects the client at the VIP where the server of packet i expects it,
// and keeps in mind what stands in the place of the answer. A server may name
// the VIP itself, as those behind other balancers are told to.
func (w *Worker) promise(b *Batch, i int, d *dialog, s *Server, a *ftp.Answer) {
	virtual := w.table.Virtual(b.conn[i])
	if d.asked == ftp.Passive && a.Server.Addr != s.real.Addr && a.Server.Addr != virtual {
		return
	}
	d.port = w.config.ftp.expectAt(expectation{
		expectationKey: expectationKey{packet.Endpoint{Addr: b.client[i].Addr}, packet.Endpoint{Addr: virtual, Port: a.Server.Port}},
		server:         s, rport: a.Server.Port, dialog: w.sides[b.conn[i]].dialog,
	}, w.table.Timeout(conntrack.Listen), w.tick, func(e packet.Endpoint) bool { return w.config.index.find(packet.TCP, &e) != noService })
	d.given, d.asked = d.asked, ftp.None
	text := d.given.AppendTo(w.scratch[:0], packet.Endpoint{Addr: virtual, Port: d.port})
	p := &b.packets[i]
	from, _ := p.Text()
	at, end := from+a.At, from+a.End
	seq := p.Seq()
	before, after := d.splice.After, d.splice.After+uint32(len(text)-(end-at))
	if d.splice.Tells(seq) {
		before, after = d.splice.Before, d.splice.After
	}
	d.splice = packet.Splice{From: seq + uint32(a.At), End: seq + uint32(a.End), Before: before, After: after}
}

// retell gives packet i of a server the text and the numbers that its client
// knows. A part of a text cannot be replaced: the server sends it again.
func (w *Worker) retell(b *Batch, i int, d *dialog) bool {
	p := &b.packets[i]
	if d.splice.Cuts(p) {
		b.finish(i, Drop, FTPSplit)
		return false
	}
	at, end, whole := d.splice.Within(p)
	seq := p.Seq()
	d.splice.Shift(p)
	if !whole {
		return true
	}
	if !w.careful() {
		d.splice.Forget(seq)
	}
	virtual := w.table.Virtual(b.conn[i])
	text := d.given.AppendTo(w.scratch[:0], packet.Endpoint{Addr: virtual, Port: d.port})
	if !p.ReplaceText(w.roomOf(b, i), at, end, text) {
		b.finish(i, Drop, NoFrame)
		return false
	}
	return true
}

// roomOf returns the bytes from where packet i begins to the end of its chunk.
func (w *Worker) roomOf(b *Batch, i int) []byte {
	if b.whole {
		return w.frags.buffer[:]
	}
	addr := b.frames[i].Addr
	return w.pool.Bytes[addr : addr&^uint64(w.pool.Chunk-1)+uint64(w.pool.Chunk)]
}

// expected returns the key of the expectation that packet i may fulfil.
func (b *Batch) expected(i int) expectationKey {
	k := expectationKey{b.client[i], b.other[i]}
	if b.dir[i] == conntrack.ToServer {
		k.client.Port = 0
	}
	return k
}

// calls reports whether packet i may be the first of a data connection, and FTP
// is helped at all.
func (w *Worker) calls(b *Batch, i int) bool {
	return w.config.ftp != nil && b.kinds[i] == kindFlow && b.proto[i] == packet.TCP &&
		(b.packets[i].TCPFlags&(packet.SYN|packet.RST) == packet.SYN || !w.careful())
}

// callsBack reports whether packet i, of a server, calls a client that has
// asked for it.
func (w *Worker) callsBack(b *Batch, i int) bool {
	if b.dir[i] != conntrack.ToClient || !w.calls(b, i) || w.config.ftp.count.Load() == 0 {
		return false
	}
	k := b.expected(i)
	s := w.config.ftp.expects(&k, w.tick)
	return s != nil && s.links.Load()>>b.link[i]&1 != 0
}

// callBack opens the data connection of packet i, of a server.
func (w *Worker) callBack(b *Batch, i int) {
	if b.conn[i] == conntrack.None && w.callsBack(b, i) {
		w.openData(b, i)
	}
}

// openData opens the data connection of packet i, if it is expected. A client
// that calls a deleted server meets silence, as with all its connections.
func (w *Worker) openData(b *Batch, i int) bool {
	if !w.calls(b, i) || w.config.ftp.count.Load() == 0 {
		return false
	}
	k := b.expected(i)
	if s := w.config.ftp.expects(&k, w.tick); s != nil && s.deleted.Load() && b.dir[i] == conntrack.ToServer {
		b.finish(i, Drop, ServerGone)
		return true
	}
	x, ok := w.config.ftp.take(&k, w.tick)
	if !ok {
		return false
	}
	kept := side{x.dialog, x.virtual.Port, x.rport}
	at, room := w.insertData(b, i, &x)
	w.settleGone()
	if room != conntrack.OK {
		x.server.end(conntrack.Listen)
		w.config.ftp.ended(&kept)
		b.finish(i, Drop, reasonOf(room))
		return true
	}
	w.Counters.NewConns++
	rec := w.table.At(at)
	rec.ServerHop, rec.ClientHop, rec.RouteGen = uint16(noHop), uint16(noHop), w.config.routeGen
	rec.Flags |= helped
	w.sides[at] = kept
	b.conn[i] = at
	return true
}

func (w *Worker) insertData(b *Batch, i int, x *expectation) (conntrack.Index, conntrack.Room) {
	if x.virtual.Addr != w.config.pairs[x.server.Slot].Virtual {
		return w.table.InsertElsewhere(w.tick, b.hash[i], b.proto[i], b.client[i], x.virtual, x.server.Slot, x.rport, conntrack.Listen)
	}
	return w.table.Insert(w.tick, b.hash[i], b.proto[i], b.client[i], x.server.Slot, x.virtual.Port, x.rport, conntrack.Listen)
}
