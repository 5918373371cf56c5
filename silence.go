package lvx

import "github.com/lvx-lb/lvx/service"

// silentSYNs is after how many packets without any answer a server is named.
const silentSYNs = 3

// silence remembers which servers never answer through the director: the
// classic mistake of LVS-NAT is a server whose default route leads elsewhere.
type silence map[uint32]int // by slot: seconds of silence

// noteSilence names servers that get packets and whose answers never come.
func (d *Director) noteSilence() {
	stats := d.serverStats()
	for _, s := range d.roster.Servers() {
		now := statOf(stats, s)
		if s.Service().Key.Protocol != service.TCP || now.InPkts < silentSYNs || now.OutPkts > 0 {
			delete(d.silence, s.Slot)
			continue
		}
		if d.silence == nil {
			d.silence = silence{}
		}
		// Two looks: the answers may be on their way at the first.
		if d.silence[s.Slot]++; d.silence[s.Slot] == 2 {
			d.log.Warn("a server gets packets, but no answer of it comes through the director; does its default route lead here?",
				"server", s.Address.Address, "service", s.Service().Key.Address, "packets", now.InPkts)
		}
	}
}
