package packet

import "encoding/binary"

// Splice is a place in a TCP stream where one text stands in for another,
// perhaps of another length, and so what lies behind it is counted anew. The
// zero Splice changes nothing.
type Splice struct {
	From, End     uint32 // the text that was there, in the sender's numbers
	Before, After uint32 // what the receiver's numbers have more, modulo 2³²
}

// Forget has the text be one that never comes again; what begins behind from,
// where its segment began, is counted anew.
func (s *Splice) Forget(from uint32) { s.From, s.End = from+1, from+1 }

// Tells reports whether a segment from seq on is no later than one whose text
// was replaced and forgotten by a text of another length.
func (s *Splice) Tells(seq uint32) bool {
	return s.Before != s.After && int32(seq-s.End) < 0
}

// Open reports whether the receiver may still need the text.
func (s *Splice) Open() bool { return s.From != s.End }

// Cuts reports whether the segment p holds a part of the text and not all of
// it.
func (s *Splice) Cuts(p *Packet) bool {
	at, end := p.Text()
	if !s.Open() || end == at {
		return false
	}
	from := p.Seq()
	to := from + uint32(end-at)
	if int32(from-s.End) >= 0 || int32(to-s.From) <= 0 {
		return false
	}
	return int32(from-s.From) > 0 || int32(to-s.End) < 0
}

// Within returns where in Data the text lies, if the segment p, with the
// sender's sequence number, holds all of it.
func (s *Splice) Within(p *Packet) (at, end int, ok bool) {
	at, end = p.Text()
	ahead, long := s.From-p.Seq(), s.End-s.From
	if !s.Open() || uint64(ahead)+uint64(long) > uint64(end-at) {
		return 0, 0, false
	}
	at += int(ahead)
	return at, at + int(long), true
}

// Shift gives a segment of the sender the receiver's sequence number.
func (s *Splice) Shift(p *Packet) {
	seq, more := p.Seq(), s.Before
	if int32(seq-s.End) >= 0 {
		more = s.After
	}
	if more == 0 {
		return
	}
	sum := p.segmentSum()
	binary.BigEndian.PutUint32(p.Data[p.L4+4:], seq+more)
	p.keepSum(sum)
}

// Unshift gives a segment of the receiver the acknowledgments that the sender
// understands. Once all of the text is acknowledged, it needs no thought any
// more.
func (s *Splice) Unshift(p *Packet) {
	if p.TCPFlags&ACK == 0 {
		return
	}
	b := p.Data[p.L4:]
	ack := binary.BigEndian.Uint32(b[8:12])
	if s.Open() && int32(ack-s.End-s.After) >= 0 {
		s.From, s.Before = s.End, s.After
	}
	if !s.Open() && s.Before == 0 && s.After == 0 {
		return
	}
	sum := p.segmentSum()
	binary.BigEndian.PutUint32(b[8:12], s.unshifted(ack, s.From))
	s.unshiftSACK(b[tcpLen : int(b[12]>>4)*4])
	p.keepSum(sum)
}

// unshifted counts back; partly stands for what lies within the text.
func (s *Splice) unshifted(ack, partly uint32) uint32 {
	switch {
	case !s.Open() && int32(ack-s.End-s.Before) >= 0:
		return ack - s.After
	case !s.Open():
	case int32(ack-s.End-s.After) >= 0:
		return ack - s.After
	case int32(ack-s.From-s.Before) > 0:
		return partly
	}
	return ack - s.Before
}

// TCP options (RFC 9293, RFC 2018).
const (
	tcpOptEnd  = 0
	tcpOptNop  = 1
	tcpOptSACK = 5
)

// unshiftSACK counts back the blocks of selective acknowledgments. Of the text
// itself a block acknowledges all or nothing.
func (s *Splice) unshiftSACK(opts []byte) {
	for len(opts) >= 2 && opts[0] != tcpOptEnd {
		n := int(opts[1])
		switch {
		case opts[0] == tcpOptNop:
			n = 1
		case n < 2 || n > len(opts):
			return
		case opts[0] == tcpOptSACK:
			for b := opts[2:n]; len(b) >= 8; b = b[8:] {
				left, right := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
				binary.BigEndian.PutUint32(b, s.unshifted(left, s.End))
				binary.BigEndian.PutUint32(b[4:], s.unshifted(right, s.From))
			}
		}
		opts = opts[n:]
	}
}
