package packet

import "encoding/binary"

// Restore puts e in the place of one side of p and mends the IPv4 header
// checksum alone: TTL and transport checksum stay. ICMP errors of IPVS quote a
// packet so that it could not deliver after it had translated it.
func (p *Packet) Restore(e Endpoint, side Side) {
	p.setAddr(e.Addr, side)
	if !p.V6 {
		setHeaderChecksum(p.Data[p.L3:p.L4])
	}
	if !p.HasPorts {
		return
	}
	at := p.L4
	if side == Source {
		p.SrcPort = e.Port
	} else {
		p.DstPort = e.Port
		at += 2
	}
	binary.BigEndian.PutUint16(p.Data[at:], e.Port)
}
