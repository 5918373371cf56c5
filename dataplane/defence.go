package dataplane

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/service"
)

// defence is what a worker does against floods: drop_entry, drop_packet and
// secure_tcp of IPVS. IPVS switches the automatic ones by free memory; here the
// memory is there from the start, and what runs short are the places of the
// worker's table. Less than 1/16 of them free is what less than amemthresh
// pages are there.
type defence struct {
	short bool
	next  conntrack.Tick // when to look again
	rate  int            // drop_packet: of how many new connections one is dropped, 0 = none
	until int            // how many are still to come
	weak  sweep          // drop_entry: what is left of this second's part of the table
	turns [tried + 1]int // by packets seen: how many such connections stay until one is dropped
}

const (
	defencePart = 32 // of the table, looked at each second
	shortPart   = 16 // of the table, that should be free
	idleEnough  = 60 * conntrack.Second
	tried       = 8 // packets that a connection may have seen to be worth little
)

// on reports whether a defence of that mode is up.
func (d *defence) on(mode int) bool {
	return mode == service.DefenceAlways || mode != service.DefenceOff && d.short
}

// gauge looks how much room there is, and puts the defences up or down.
func (w *Worker) gauge() {
	d, s := &w.defence, &w.config.Settings
	spare := max(1, w.table.Capacity()/shortPart)
	free := w.table.Free()
	d.short = free < spare
	w.table.SetSecure(d.on(s.SecureTCP))
	switch {
	case !d.on(s.DropPacket):
		d.rate = 0
	case s.DropPacket == service.DefenceAlways:
		d.rate = s.AmDroprate
	default:
		d.rate = spare / (spare - free)
		d.until = d.rate
	}
}

// Short reports whether the table has little room left.
func (w *Worker) Short() bool { return w.defence.short }

// thins reports whether a packet that would open a connection is dropped.
func (d *defence) thins() bool {
	if d.rate == 0 {
		return false
	}
	if d.until--; d.until > 0 {
		return false
	}
	d.until = d.rate
	return true
}

// defend looks around once a second. Connections are placed by a seeded hash,
// so a stretch of the table is a random choice of them.
func (w *Worker) defend() {
	d := &w.defence
	if int32(w.tick-d.next) >= 0 {
		d.next = w.tick + conntrack.Second
		w.gauge()
		if d.on(w.config.Settings.DropConn) {
			d.weak.left = w.table.Slots() / defencePart
		}
	}
	if d.weak.left == 0 {
		return
	}
	d.weak.walk(w, func(i conntrack.Index, rec *conntrack.Record) {
		if !w.spare(i, rec) && d.worthLittle(rec, w.tick) {
			w.end(i)
		}
	})
}

// worthLittle reports whether drop_entry takes a connection: one that is not
// established, or one in so many of those that have seen few packets and are
// silent for a minute. Packets of IPv6 connections are not counted: they stay.
func (d *defence) worthLittle(rec *conntrack.Record, now conntrack.Tick) bool {
	switch rec.State {
	case conntrack.SynRecv, conntrack.SynAck, conntrack.SCTPInit1, conntrack.SCTPInit:
		return true
	case conntrack.Established, conntrack.SCTPEstablished, conntrack.UDP:
	default:
		return false
	}
	n := rec.Packets()
	if n == 0 || n > tried || int32(now-rec.LastSeen) < int32(idleEnough) {
		return false
	}
	if d.turns[n]--; d.turns[n] > 0 {
		return false
	}
	d.turns[n] = int(n)
	return true
}
