package packet

import "encoding/binary"

// Text returns where in Data the bytes lie that a TCP segment carries.
func (p *Packet) Text() (at, end int) {
	return int(p.L4) + int(p.Data[p.L4+12]>>4)*4, len(p.Data)
}

// Seq returns the sequence number of a TCP segment.
func (p *Packet) Seq() uint32 { return binary.BigEndian.Uint32(p.Data[p.L4+4:]) }

// ReplaceText puts text in the place of Data[at:end], which lies in the text of
// a TCP segment that is no fragment, and mends lengths and checksums; a wrong
// one stays wrong. room is Data with what lies behind it in its chunk. It
// reports whether there is room enough.
func (p *Packet) ReplaceText(room []byte, at, end int, text []byte) bool {
	size := len(p.Data) + len(text) - (end - at)
	if size > len(room) || size-int(p.L3) > maxIPv4 {
		return false
	}
	sum := p.segmentSum()
	copy(room[at+len(text):size], p.Data[end:])
	copy(room[at:], text)
	p.Data = room[:size:size]
	p.setLength()
	p.keepSum(sum)
	return true
}

// setLength writes the length of the IP packet.
func (p *Packet) setLength() {
	h := p.Data[p.L3:]
	if p.V6 {
		binary.BigEndian.PutUint16(h[4:6], uint16(p.IPLen()-ipv6Len))
		return
	}
	old, now := binary.BigEndian.Uint16(h[2:4]), uint16(p.IPLen())
	binary.BigEndian.PutUint16(h[2:4], now)
	binary.BigEndian.PutUint16(h[10:12], amend(binary.BigEndian.Uint16(h[10:12]), difference(old, now)))
}

// segmentSum returns the sum that a TCP checksum makes 0xffff.
func (p *Packet) segmentSum() uint16 {
	b := p.Data[p.L4:]
	return sum(b, uint32(PseudoSum(p.Src, p.Dst, p.Proto, len(b))))
}

// keepSum makes segmentSum what it was before a change.
func (p *Packet) keepSum(was uint16) {
	stored := p.Data[p.checksumAt():]
	binary.BigEndian.PutUint16(stored, fold(uint32(binary.BigEndian.Uint16(stored))+difference(p.segmentSum(), was)))
}
