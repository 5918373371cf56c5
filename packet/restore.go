package packet

// Restore puts e in the place of one side of p and mends the IPv4 header
// checksum alone: TTL and transport checksum stay. ICMP errors of IPVS quote a
// packet so that it could not deliver after it had translated it.
func (p *Packet) Restore(e Endpoint, side Side) {
	p.place(e.Addr, 0, side)
	p.TTL++ // as it was
	h := p.Data[p.L3:p.L4]
	if p.V6 {
		h[7] = p.TTL
	} else {
		h[8] = p.TTL
		setHeaderChecksum(h)
	}
	p.PutPort(e.Port, side)
}
