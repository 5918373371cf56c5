package packet

import "encoding/binary"

// Rewrite is the replacement of one endpoint by another. It is data, so that
// a connection can carry it: the checksum differences are computed once.
type Rewrite struct {
	Addr   Addr
	Port   uint16
	IPDiff uint16 // of the address
	L4Diff uint16 // of address and port
}

// NewRewrite returns what replaces old by new, both of one family.
func NewRewrite(old, new Endpoint) Rewrite {
	ip := addrDifference(old.Addr, new.Addr)
	return Rewrite{new.Addr, new.Port, ip, fold(uint32(ip) + difference(old.Port, new.Port))}
}

// addrDifference is never 0, so that a checksum amended by it comes out as a
// computed one would.
func addrDifference(old, new Addr) uint16 {
	return fold64(uint64(^fold64(addrSum(old))) + addrSum(new) + 0xffff)
}

// Side names one of the two endpoints of a packet.
type Side uint8

// The sides.
const (
	Source Side = iota
	Destination
)

// Translate puts r in the place of one side of p, takes one from the TTL,
// which the caller has seen to be above 1, and mends the IPv4 header checksum
// and the one of TCP or UDP. A wrong transport checksum stays wrong by the
// same difference. A UDP checksum of 0 (none) stays 0, see FillChecksum. A
// packet without ports gets the address only; ICMP checksums cover no IPv4
// addresses, for errors see TranslateQuote.
//
// With partial, a transport checksum that is only the sum of the pseudo
// header, as the kernel leaves it for a NIC to finish (CHECKSUM_PARTIAL), is
// completed.
func (p *Packet) Translate(r *Rewrite, side Side, partial bool) {
	if !p.HasPorts {
		p.setAddr(r.Addr, side)
		p.forward(r.IPDiff)
		return
	}
	stored := p.Data[p.checksumAt():]
	stored = stored[:2:2]
	complete := partial && p.isPartial(stored)
	p.setAddr(r.Addr, side)
	p.forward(r.IPDiff)
	ports := p.Data[p.L4:]
	if side == Source {
		p.SrcPort = r.Port
		binary.BigEndian.PutUint16(ports[0:2], r.Port)
	} else {
		p.DstPort = r.Port
		binary.BigEndian.PutUint16(ports[2:4], r.Port)
	}
	if complete {
		p.FillChecksum()
		return
	}
	old := binary.BigEndian.Uint16(stored)
	if p.Proto == UDP && old == 0 {
		return
	}
	c := amend(old, uint32(r.L4Diff))
	if p.Proto == UDP && c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(stored, c)
}

// setAddr writes a to the IP header and to p.
func (p *Packet) setAddr(a Addr, side Side) {
	h := p.Data[p.L3:]
	if p.V6 {
		at := 8
		if side == Source {
			p.Src = a
		} else {
			p.Dst, at = a, 24
		}
		a.put16((*[16]byte)(h[at:]))
		return
	}
	at := 12
	if side == Source {
		p.Src = a
	} else {
		p.Dst, at = a, 16
	}
	binary.BigEndian.PutUint32(h[at:], a.V4())
}

// forward takes one from the TTL and mends the IPv4 header checksum for that
// and for diff.
func (p *Packet) forward(diff uint16) {
	h := p.Data[p.L3:]
	p.TTL--
	if p.V6 {
		h[7] = p.TTL
		return
	}
	const ttl = 0xffff - 0x0100 // minus one in the high byte of its word
	h[8] = p.TTL
	binary.BigEndian.PutUint16(h[10:12], amend(binary.BigEndian.Uint16(h[10:12]), uint32(diff)+ttl))
}

// Forward takes one from the TTL and mends the IPv4 header checksum: the
// packet goes on as it is.
func (p *Packet) Forward() { p.forward(0xffff) }

// checksumAt returns where in Data the checksum of TCP or UDP is.
func (p *Packet) checksumAt() int {
	if p.Proto == TCP {
		return int(p.L4) + 16
	}
	return int(p.L4) + 6
}

// segment returns the bytes that the transport checksum covers. Bytes behind
// the length that UDP names are not among them.
func (p *Packet) segment() []byte {
	b := p.Data[p.L4:]
	if p.Proto == UDP {
		if n := int(binary.BigEndian.Uint16(b[4:6])); n >= udpLen && n <= len(b) {
			return b[:n]
		}
	}
	return b
}

// isPartial reports whether the stored checksum is the pseudo-header sum. One
// of 65,535 complete ones looks the same; completing it again does no harm.
func (p *Packet) isPartial(stored []byte) bool {
	return !p.Fragment &&
		binary.BigEndian.Uint16(stored) == PseudoSum(p.Src, p.Dst, p.Proto, len(p.segment()))
}

// FillChecksum computes the checksum of TCP or UDP over the whole segment. It
// does nothing to a fragment.
func (p *Packet) FillChecksum() {
	if !p.HasPorts || p.Fragment {
		return
	}
	stored, b := p.Data[p.checksumAt():], p.segment()
	binary.BigEndian.PutUint16(stored, 0)
	c := Checksum(b, uint32(PseudoSum(p.Src, p.Dst, p.Proto, len(b))))
	if p.Proto == UDP && c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(stored, c)
}

// CompletePartial finishes the checksum of TCP or UDP if it is only the sum of
// the pseudo header.
func (p *Packet) CompletePartial() {
	if p.HasPorts && p.isPartial(p.Data[p.checksumAt():]) {
		p.FillChecksum()
	}
}
