package packet

import "encoding/binary"

// MAC is an Ethernet address as it lies in memory, in the low 48 bits: a word
// moves in a register, an array over the stack.
type MAC uint64

// MACFrom converts m.
func MACFrom(m [6]byte) MAC {
	return MAC(binary.LittleEndian.Uint32(m[0:4])) | MAC(binary.LittleEndian.Uint16(m[4:6]))<<32
}

// Bytes converts m.
func (m MAC) Bytes() (b [6]byte) {
	binary.LittleEndian.PutUint32(b[0:4], uint32(m))
	binary.LittleEndian.PutUint16(b[4:6], uint16(m>>32))
	return b
}

// SetMACs writes the MAC addresses of a frame.
func SetMACs(frame []byte, dst, src MAC) {
	h := (*[12]byte)(frame)
	binary.LittleEndian.PutUint64(h[0:8], uint64(dst|src<<48))
	binary.LittleEndian.PutUint32(h[8:12], uint32(src>>16))
}

// Retag gives the frame of p the first n tags, outermost first. The frame
// begins at start in buf, its chunk with the headroom; the result is where it
// begins afterwards, 4 bytes earlier for a tag more, later for a tag less.
// The IP packet does not move. False means that the headroom is too small or
// n too large; nothing has changed then. p, with its offsets, follows.
//
// A single tag is 802.1Q, of two the outer one is 802.1ad. The priority bits
// are zero.
func (p *Packet) Retag(buf []byte, start int, tag [2]uint16, n uint8) (int, bool) {
	if n == p.Tags && (n == 0 || tag[0] == p.Tag[0] && (n == 1 || tag[1] == p.Tag[1])) {
		return start, true
	}
	move := tagLen * (int(n) - int(p.Tags))
	at, end := start-move, start+len(p.Data)
	if n > 2 || at < 0 || end > len(buf) {
		return start, false
	}
	macs := [12]byte(buf[start:end])
	frame := buf[at:end:end]
	copy(frame, macs[:])
	// The EtherType stands right before the IP header and stays.
	for i := range n {
		tpid := uint16(typeVLAN)
		if n == 2 && i == 0 {
			tpid = typeQinQ
		}
		binary.BigEndian.PutUint16(frame[12+tagLen*i:], tpid)
		binary.BigEndian.PutUint16(frame[14+tagLen*i:], tag[i&1]&0x0fff)
	}
	p.moved(frame, move, tag, n)
	return at, true
}

// moved adapts p to a frame with n tags whose headers lie move bytes later.
func (p *Packet) moved(frame []byte, move int, tag [2]uint16, n uint8) {
	shift := uint16(move)
	p.Data, p.Tags, p.Tag = frame, n, [2]uint16{}
	copy(p.Tag[:n], tag[:])
	p.L3 += shift
	p.L4 += shift
	if p.FragHeader != 0 {
		p.FragHeader += shift
	}
	p.Quote.L3 += shift
	p.Quote.L4 += shift
}
