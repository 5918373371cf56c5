package packet

import "encoding/binary"

// Rewrite is the replacement of one endpoint by another. It is data, so that
// a connection can carry it: the checksum differences are computed once.
type Rewrite struct {
	Addr   Addr
	Port   uint16
	IPDiff uint16 // of the address
	L4Diff uint16 // of address and port

	FillsUDP  bool // a UDP checksum of 0 is computed
	FillsSCTP bool // the CRC of SCTP is computed anew where the port changes
}

// NewRewrite returns what replaces old by new, both of one family.
func NewRewrite(old, new Endpoint) Rewrite {
	ip := addrDifference(old.Addr, new.Addr)
	return Rewrite{Addr: new.Addr, Port: new.Port, IPDiff: ip, L4Diff: fold(uint32(ip) + difference(old.Port, new.Port))}
}

// WithPorts returns r for another pair of ports.
func (r *Rewrite) WithPorts(old, new uint16) Rewrite {
	ported := *r
	ported.Port, ported.L4Diff = new, fold(uint32(r.IPDiff)+difference(old, new))
	return ported
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
// and the one of TCP, UDP or SCTP. A wrong transport checksum stays wrong by the
// same difference. A UDP checksum of 0 (none) stays 0, unless r fills it. A
// packet without ports gets the address only; ICMP checksums cover no IPv4
// addresses, for errors see TranslateQuote.
//
// With partial, a transport checksum that is only the sum of the pseudo
// header, as the kernel leaves it for a NIC to finish (CHECKSUM_PARTIAL), is
// completed; for SCTP that is 0.
func (p *Packet) Translate(r *Rewrite, side Side, partial bool) {
	if !p.HasPorts {
		p.place(r.Addr, r.IPDiff, side)
		return
	}
	b, at := p.Data[p.L4:], 6
	switch p.Proto {
	case TCP:
		at = 16
	case SCTP:
		p.translateSCTP(r, side, partial)
		return
	}
	stored := b[at : at+2]
	old := binary.BigEndian.Uint16(stored)
	complete := partial && p.isPartial(old, b)
	p.place(r.Addr, r.IPDiff, side)
	port, portAt := &p.SrcPort, 0
	if side == Destination {
		port, portAt = &p.DstPort, 2
	}
	*port = r.Port
	binary.BigEndian.PutUint16(b[portAt:], r.Port)
	if complete {
		p.FillChecksum()
		return
	}
	c := amend(old, uint32(r.L4Diff))
	if p.Proto == UDP {
		if old == 0 {
			if r.FillsUDP {
				p.FillChecksum()
			}
			return
		}
		if c == 0 {
			c = 0xffff
		}
	}
	binary.BigEndian.PutUint16(stored, c)
}

// place writes a to one side of the IP header and of p, takes one from the
// TTL, and mends the IPv4 header checksum for that and for diff. It is one
// function because a call costs 1 ns of 15.
func (p *Packet) place(a Addr, diff uint16, side Side) {
	mine := &p.Src
	if side == Destination {
		mine = &p.Dst
	}
	*mine = a
	b := p.Data[p.L3:]
	if p.V6 {
		h := (*[ipv6Len]byte)(b)
		at := h[8:24]
		if side == Destination {
			at = h[24:40]
		}
		a.put16((*[16]byte)(at))
		p.TTL--
		h[7] = p.TTL
		return
	}
	h := (*[ipv4Len]byte)(b)
	at := h[12:16]
	if side == Destination {
		at = h[16:20]
	}
	binary.BigEndian.PutUint32(at, a.V4())
	p.forward4(h, diff)
}

// forward4 takes one from the TTL and mends the checksum for that and for diff.
func (p *Packet) forward4(h *[ipv4Len]byte, diff uint16) {
	const ttl = 0xffff - 0x0100 // minus one in the high byte of its word
	p.TTL--
	h[8] = p.TTL
	binary.BigEndian.PutUint16(h[10:12], amend(binary.BigEndian.Uint16(h[10:12]), uint32(diff)+ttl))
}

// Forward takes one from the TTL and mends the IPv4 header checksum: the
// packet goes on as it is.
func (p *Packet) Forward() {
	b := p.Data[p.L3:]
	if p.V6 {
		p.TTL--
		b[7] = p.TTL
		return
	}
	p.forward4((*[ipv4Len]byte)(b), 0xffff)
}

// checksumAt returns where in Data the checksum of TCP, UDP or SCTP is.
func (p *Packet) checksumAt() int {
	switch p.Proto {
	case TCP:
		return int(p.L4) + 16
	case SCTP:
		return int(p.L4) + 8
	}
	return int(p.L4) + 6
}

// segmentLen returns how much of b, all that the IP packet carries, the
// transport checksum covers: bytes behind the length that UDP names are not
// among it. Parse has checked that length.
func (p *Packet) segmentLen(b []byte) int {
	if p.Proto == UDP {
		return int(binary.BigEndian.Uint16(b[4:6]))
	}
	return len(b)
}

// isPartial reports whether the stored checksum is the pseudo-header sum. One
// of 65,535 complete ones looks the same; completing it again does no harm.
func (p *Packet) isPartial(stored uint16, b []byte) bool {
	return stored == PseudoSum(p.Src, p.Dst, p.Proto, p.segmentLen(b)) && !p.Fragment
}

// Unfinished reports whether the checksum of TCP or UDP is only the sum of the
// pseudo header, and covers all that is behind it: then whoever sends p can
// finish it.
func (p *Packet) Unfinished() bool {
	if !p.HasPorts || p.Proto == SCTP {
		return false
	}
	b := p.Data[p.L4:]
	return p.isPartial(binary.BigEndian.Uint16(p.Data[p.checksumAt():]), b) && p.segmentLen(b) == len(b)
}

// TranslateUnfinished is Translate for an Unfinished p, which stays so.
func (p *Packet) TranslateUnfinished(r *Rewrite, side Side) {
	stored := p.Data[p.checksumAt():]
	pseudo := fold(uint32(binary.BigEndian.Uint16(stored)) + uint32(r.IPDiff))
	p.Translate(r, side, false)
	binary.BigEndian.PutUint16(stored, pseudo)
}

// ChecksumAt returns from where on in Data the checksum of TCP or UDP covers p,
// and how far behind that it is.
func (p *Packet) ChecksumAt() (start, offset int) {
	return int(p.L4), p.checksumAt() - int(p.L4)
}

// FillChecksum computes the checksum of TCP, UDP or SCTP over the whole
// segment. It does nothing to a fragment.
func (p *Packet) FillChecksum() {
	if !p.HasPorts || p.Fragment {
		return
	}
	stored, b := p.Data[p.checksumAt():], p.Data[p.L4:]
	if p.Proto == SCTP {
		fillCRC(b)
		return
	}
	b = b[:p.segmentLen(b)]
	binary.BigEndian.PutUint16(stored, 0)
	c := Checksum(b, uint32(PseudoSum(p.Src, p.Dst, p.Proto, len(b))))
	if p.Proto == UDP && c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(stored, c)
}

// CompletePartial finishes the checksum of TCP, UDP or SCTP if the kernel has
// left it to a NIC.
func (p *Packet) CompletePartial() {
	if !p.HasPorts {
		return
	}
	stored, partial := p.Data[p.checksumAt():], false
	if p.Proto == SCTP {
		partial = isPartialCRC(stored)
	} else {
		partial = p.isPartial(binary.BigEndian.Uint16(stored), p.Data[p.L4:])
	}
	if partial {
		p.FillChecksum()
	}
}
