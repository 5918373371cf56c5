package dataplane

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/scheduler"
	"github.com/lvx-lb/lvx/service"
)

// Whether a packet opens a connection, and what becomes of the one that it has.

// mayOpen reports whether packet i goes to a service and is of a kind that can
// open a connection: an ICMP error only where schedule_icmp says so.
func (w *Worker) mayOpen(b *Batch, i int) bool {
	switch b.kinds[i] {
	case kindFlow:
		return b.dir[i] == conntrack.ToServer
	case kindError:
		return w.config.Settings.ScheduleIcmp != 0 && b.dir[i] == conntrack.ToServer
	}
	return false
}

// begins reports whether the client of p calls anew: SYN, or INIT.
func begins(p *packet.Packet) bool {
	return p.Proto == packet.TCP && p.TCPFlags&packet.SYN != 0 || p.Proto == packet.SCTP && p.Chunk == packet.ChunkInit
}

// replaces reports whether the connection of packet i ends because of it: a
// client port that calls again is scheduled anew in TIME_WAIT, CLOSE or CLOSED
// (conn_reuse_mode), unless a template would choose the same server; and with
// expire_nodest_conn any packet for a deleted server. A data connection of FTP
// stays where it was expected.
func (w *Worker) replaces(b *Batch, i int) bool {
	p, set := &b.packets[i], &w.config.Settings
	calls := begins(p)
	if b.kinds[i] != kindFlow || !calls && set.ExpireNodestConn == 0 {
		return false
	}
	rec := w.table.At(b.conn[i])
	if w.isData(b.conn[i], rec) {
		return false
	}
	if set.ExpireNodestConn != 0 && w.destless(b, i, rec, calls) {
		return true
	}
	if !calls || set.ConnReuseMode == 0 || rec.Flags&controlled != 0 {
		return false
	}
	return rec.State == conntrack.TimeWait || rec.State == conntrack.Close || rec.State == conntrack.SCTPClosed
}

// destless reports whether the server of a connection is gone, or takes no new
// connections and this would be one. Every datagram of a service can go to
// another server, unless a template would choose the same.
func (w *Worker) destless(b *Batch, i int, rec *conntrack.Record, calls bool) bool {
	s := w.config.servers[rec.Server]
	if s == nil || s.deleted.Load() {
		return true
	}
	if b.proto[i] == packet.UDP && w.config.Deviations.Has(service.MovingDatagrams) {
		calls = b.service[i] != noService && rec.Flags&controlled == 0
	}
	return calls && s.quiet.Load()
}

// forsaken decides on packet i of a connection whose server was deleted. As
// with IPVS that is silence, and the connection's time runs on; but a datagram
// finds another server at once, or a client that never falls silent would call
// the old one for ever. Answers of the old one pass until then.
func (w *Worker) forsaken(b *Batch, i int) {
	if b.proto[i] != packet.UDP || !w.config.Deviations.Has(service.MovingDatagrams) || b.service[i] == noService {
		b.finish(i, Drop, ServerGone)
		return
	}
	w.anew(b, i)
	if b.kinds[i] != kindDone {
		w.translate(b, i)
	}
}

// ftpDataPort is where servers of FTP call from; as with IPVS, whoever else does
// is given no server.
const ftpDataPort = 20

// begin picks a server for packet i and inserts its connection, or answers as
// a host without one would.
func (w *Worker) begin(b *Batch, i int) {
	if w.openData(b, i) {
		return
	}
	s := w.config.Services[b.service[i]]
	beside := !s.owns(b.other[i].Port)
	if beside && !(s.wide && w.mayCall(b, i)) {
		b.finish(i, PassUp, Unexplained)
		return
	}
	state, ok := w.opening(b, i)
	if !ok {
		return
	}
	if w.defence.thins() {
		b.finish(i, Drop, DropPacket)
		return
	}
	if b.client[i].Port == ftpDataPort {
		b.finish(i, PassUp, Unexplained)
		return
	}
	who := call{schedulerKey(b, i), b.client[i].Addr, b.other[i].Port, state, w.tick}
	who.key.Now = uint32(w.tick)
	got, why := s.choose(w.config, &who)
	switch {
	case why == Unexplained:
		w.connect(b, i, &got)
	case why == NoServer && beside:
		b.finish(i, PassUp, Unexplained)
	case why == NoServer:
		w.answerError(b, i, errNoServer, 0, NoServer)
	default:
		b.finish(i, Drop, why)
	}
}

// mayCall reports whether packet i may open a connection to a port that is not
// its service's own: what else comes there is the kernel's.
func (w *Worker) mayCall(b *Batch, i int) bool {
	flags := b.packets[i].TCPFlags
	return b.kinds[i] == kindError || flags&packet.RST == 0 && (flags&packet.SYN != 0 || w.config.Settings.SloppyTCP != 0)
}

// opening returns the state in which packet i opens a connection. What opens
// none has its verdict then.
func (w *Worker) opening(b *Batch, i int) (state conntrack.State, ok bool) {
	p, set := &b.packets[i], &w.config.Settings
	switch {
	case b.proto[i] == packet.UDP:
		return conntrack.UDP, true
	case b.kinds[i] == kindError:
		return conntrack.NoState, true
	case p.Proto == packet.SCTP:
		return conntrack.NoState, w.openingSCTP(b, i)
	case p.TCPFlags&packet.RST != 0:
		b.finish(i, Drop, NoConn)
	case p.TCPFlags&packet.SYN != 0:
		return conntrack.SynRecv, true
	case set.SloppyTCP != 0:
		return conntrack.NoState.Next(conntrack.ToServer, conntrack.EventOf(p.TCPFlags)), true
	case !p.IsIntact() && !(w.config.isPartial(b.link[i]) && p.Unfinished()):
		b.finish(i, Drop, BadChecksum) // nobody has sent it so
	default:
		w.answerReset(b, i, NoConn)
	}
	return conntrack.NoState, false
}

// openingSCTP is opening for SCTP, whose first state comes of noting the
// packet, also of an ABORT behind another chunk. The director's own stack
// answers ABORT to what belongs to nobody.
func (w *Worker) openingSCTP(b *Batch, i int) bool {
	switch chunk := b.packets[i].Chunk; {
	case chunk == packet.ChunkInit:
		return true
	case chunk == packet.NoChunk:
		b.finish(i, Drop, NoConn)
	case w.config.Settings.SloppySCTP == 0 || b.packets[i].FirstChunk() == packet.ChunkAbort:
		b.finish(i, PassUp, Unexplained)
	default:
		return true
	}
	return false
}

func reasonOf(room conntrack.Room) Reason {
	switch room {
	case conntrack.EndpointFull:
		return EndpointFull
	case conntrack.NoPort:
		return NoPort
	}
	return TableFull
}

// schedulerKey is what a scheduler is told of packet i. Of an ICMP error IPVS
// tells the destination of the packet that it quotes, which is the client.
func schedulerKey(b *Batch, i int) scheduler.Key {
	client, other := &b.client[i], &b.other[i]
	k := scheduler.Key{Src: client.Addr.As16(), Dst: other.Addr.As16(), SrcPort: client.Port, DstPort: other.Port}
	if b.kinds[i] == kindError {
		k.Dst = k.Src
	}
	return k
}
