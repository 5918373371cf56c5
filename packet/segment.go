package packet

import "encoding/binary"

// Segment is what a TCP segment without payload says besides its flow.
type Segment struct {
	Seq, Ack    uint32
	Window      uint16
	Flags       uint8
	Stamped     bool // has the timestamps option
	Stamp, Echo uint32
}

// The timestamps option (RFC 7323 section 3), as everybody writes it: behind
// two bytes that align it.
const (
	optionEnd, optionNop          = 0, 1
	optionStamp, optionLen        = 8, 10
	stampLen                      = 12
	stampIntro             uint32 = optionNop<<24 | optionNop<<16 | optionStamp<<8 | optionLen
)

// Segment reads the TCP header of p, and reports whether it is all that the
// packet carries.
func (p *Packet) Segment() (s Segment, empty bool) {
	if p.Proto != TCP || !p.HasPorts {
		return s, false
	}
	b := p.Data[p.L4:]
	n := int(b[12]>>4) * 4
	s.Seq, s.Ack = binary.BigEndian.Uint32(b[4:8]), binary.BigEndian.Uint32(b[8:12])
	s.Flags, s.Window = b[13], binary.BigEndian.Uint16(b[14:16])
	s.readStamp(b[tcpLen:n])
	return s, n == len(b) && !p.Fragment
}

// readStamp looks for the timestamps among the options of a segment.
func (s *Segment) readStamp(options []byte) {
	for len(options) > 1 && options[0] != optionEnd {
		if options[0] == optionNop {
			options = options[1:]
			continue
		}
		n := int(options[1])
		if n < 2 || n > len(options) {
			return
		}
		if options[0] == optionStamp && n == optionLen {
			s.Stamped = true
			s.Stamp, s.Echo = binary.BigEndian.Uint32(options[2:6]), binary.BigEndian.Uint32(options[6:10])
			return
		}
		options = options[n:]
	}
}

// BuildSegment writes into room the frame of s from src to dst, and returns its
// length, 0 if the room is too short. It has no VLAN tag and no MAC addresses
// yet.
func BuildSegment(room []byte, src, dst Endpoint, s *Segment) int {
	ip, etherType, tcp := ipv4Len, uint16(typeIPv4), tcpLen
	if !dst.Addr.Is4() {
		ip, etherType = ipv6Len, typeIPv6
	}
	if s.Stamped {
		tcp += stampLen
	}
	length := ethLen + ip + tcp
	if length > len(room) {
		return 0
	}
	frame := room[:length:length]
	clear(frame)
	binary.BigEndian.PutUint16(frame[12:14], etherType)
	b := frame[ethLen+ip:]
	binary.BigEndian.PutUint16(b[0:2], src.Port)
	binary.BigEndian.PutUint16(b[2:4], dst.Port)
	binary.BigEndian.PutUint32(b[4:8], s.Seq)
	binary.BigEndian.PutUint32(b[8:12], s.Ack)
	b[12], b[13] = uint8(tcp/4)<<4, s.Flags
	binary.BigEndian.PutUint16(b[14:16], s.Window)
	if s.Stamped {
		binary.BigEndian.PutUint32(b[20:24], stampIntro)
		binary.BigEndian.PutUint32(b[24:28], s.Stamp)
		binary.BigEndian.PutUint32(b[28:32], s.Echo)
	}
	binary.BigEndian.PutUint16(b[16:18], Checksum(b, uint32(PseudoSum(src.Addr, dst.Addr, TCP, tcp))))
	writeIP(frame[ethLen:], src.Addr, dst.Addr, TCP, 0, 0, true)
	return length
}
