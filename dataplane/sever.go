package dataplane

import (
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
)

// Sever gives up the server's connections. Each worker ends them when it is
// told so; templates keep nobody with the server from now on. A weight above 0
// makes the server one like others again.
func (s *Server) Sever() { s.severed.Store(true) }

// Sever ends the connections of the servers that are given up: both ends of an
// established TCP connection are reset, with the answers to a probe, those of an
// SCTP association that send something in the next seconds are told, the others
// are forgotten. It is for the owner, who calls again while there are some:
// only so many can be asked at a time. The walk goes on where it is.
func (w *Worker) Sever() { w.severing.left = w.table.Slots() }

// goOnSevering takes the next part of the table.
func (w *Worker) goOnSevering() {
	if w.severing.left == 0 {
		return
	}
	w.severing.walk(w, func(i conntrack.Index, rec *conntrack.Record) {
		switch s := w.config.servers[rec.Server]; {
		case s == nil || !s.severed.Load():
		case rec.State == conntrack.Established && rec.Proto() == packet.TCP, rec.State == conntrack.SCTPEstablished:
			w.probe(i, rec, true)
		default:
			w.end(i)
			w.Counters.Expired++
		}
	})
}
