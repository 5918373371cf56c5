package lvx

import (
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// silentSYNs is after how many packets without any answer, or connections
// since the last one, a server is named.
const silentSYNs = 3

// silence remembers which servers do not answer through the director: the
// classic mistake of LVS-NAT is a server whose default route leads elsewhere.
type silence map[uint32]*hush // by slot

// hush is what a server had counted when its last answer was seen.
type hush struct {
	conns, answers uint64
	looks          int // that found it silent
}

// look reports whether the server has to be named: once, until it answers.
func (h *hush) look(now service.Stats) bool {
	if now.OutPkts != h.answers || now.Conns < h.conns {
		*h = hush{now.Conns, now.OutPkts, 0}
	}
	never := now.OutPkts == 0 && now.InPkts >= silentSYNs
	if !never && now.Conns-h.conns < silentSYNs {
		return false
	}
	// Two looks: the answers may be on their way at the first.
	h.looks++
	return h.looks == 2
}

// noteSilence names servers that get packets and whose answers do not come.
func (d *Director) noteSilence() {
	stats := d.serverStats()
	for _, s := range d.roster.Servers() {
		if s.Service().Key.Protocol != service.TCP {
			continue
		}
		h := d.silence[s.Slot]
		if h == nil {
			h = &hush{}
			d.silence[s.Slot] = h
		}
		if now := statOf(stats, s); h.look(now) {
			d.log.Warn(d.whySilent(s), "server", s.Address.Address, "service", s.Service().Key.Address, "packets", now.InPkts)
		}
	}
}

// whySilent says what keeps the answers of a server away: it is not there, or
// they go elsewhere.
func (d *Director) whySilent(s *dataplane.Server) string {
	there, asked := false, false
	d.hops.Each(func(_ dataplane.LinkID, addr packet.Addr, state dataplane.HopState, _ uint32) {
		if addr == packet.AddrFrom(s.Address.Address.Addr()) {
			there, asked = there || state == dataplane.HopUsable, true
		}
	})
	if asked && !there {
		return "nobody answers for the address of a server (ARP, neighbour discovery); is it up, and on this network?"
	}
	return "a server gets packets, but no answer of it comes through the director; does its default route lead here?"
}
