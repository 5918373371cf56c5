package packet

import "encoding/binary"

// Fragmenter cuts a packet into pieces that fit an MTU. It allocates nothing;
// the bytes that it was given must stay until it is done.
type Fragmenter struct {
	header  []byte // Ethernet, IP and what else goes in front of every piece
	payload []byte // what is left to send
	l3      int
	nextAt  int // IPv6: offset of the byte that names what follows header
	next    uint8
	v6, df  bool
	more    bool     // the payload is not the end of the datagram
	whole   bool     // fits in one piece
	left    int      // pieces to come
	chunk   int      // payload bytes of a piece, a multiple of 8
	cuts    []uint16 // of the pieces to come, in place of chunk; nil = none
	offset  int      // of payload in the datagram
	id      uint32   // identification of all pieces
}

// NewFragmenter cuts p into packets of at most mtu bytes that carry id. The
// headers are those of p, the first fragment or the whole packet. payload is
// everything behind the IPv4 header or the IPv6 fragment header (behind
// hop-by-hop and routing header if there is none), put together by the caller;
// nil is what p itself carries, and then p may be any fragment and be cut
// further. What fits is not fragmented. If mtu leaves no room or the packet
// would be longer than IP allows, Next returns 0 at once.
func NewFragmenter(p *Packet, payload []byte, mtu int, id uint32) Fragmenter {
	f := Fragmenter{l3: int(p.L3), v6: p.V6, df: p.DF, id: id}
	end, body := int(p.L4), int(p.L4)
	if p.V6 {
		var c chain
		if c.walk(p.Data, f.l3) != OK {
			return Fragmenter{}
		}
		end, body, f.nextAt = c.part, c.part, c.nextAt
		f.next = p.Data[c.nextAt]
		if c.fragment != 0 {
			// Options for the destination may stand between the part that
			// every fragment repeats and the fragment header: keep them.
			end, body = c.fragment, c.afterFragment()
			f.nextAt, f.next = c.fragmentNextAt, p.Data[c.fragment]
		}
	}
	f.header = p.Data[:end:end]
	if f.payload = payload; payload == nil {
		f.payload = p.Data[body:]
		if p.Fragment {
			f.offset, f.more = int(p.FragOffset), p.MoreFragments
		}
	}
	ip := end - f.l3
	f.whole = f.offset == 0 && !f.more && ip+len(f.payload) <= mtu
	if f.v6 {
		ip += fragmentLen
	}
	f.chunk = (mtu - ip) &^ 7
	total := f.offset + len(f.payload)
	if !f.v6 {
		total += ip
	}
	if f.whole {
		f.left = 1
	} else if f.chunk > 0 && total <= maxIPv4 {
		f.left = (len(f.payload) + f.chunk - 1) / f.chunk
	}
	return f
}

// KeepCuts makes the pieces carry as many payload bytes as cuts says, if that
// is all of the payload. Each must fit the MTU.
func (f *Fragmenter) KeepCuts(cuts []uint16) {
	sum := 0
	for _, n := range cuts {
		sum += int(n)
	}
	if f.left > 0 && !f.whole && sum == len(f.payload) {
		f.cuts, f.left = cuts, len(cuts)
	}
}

// Pieces returns how many packets are still to come.
func (f *Fragmenter) Pieces() int { return f.left }

// Next writes the next piece into dst, with the Ethernet header of p, and
// returns its length. It is 0 when there is none, or when dst is too short.
func (f *Fragmenter) Next(dst []byte) int {
	if f.left == 0 {
		return 0
	}
	n := len(f.payload)
	extra := 0
	if !f.whole {
		n = f.nextCut()
		if f.v6 {
			extra = fragmentLen
		}
	}
	head := len(f.header)
	length := head + extra + n
	if length > len(dst) {
		return 0
	}
	frame := dst[:length:length]
	copy(frame, f.header)
	copy(frame[head+extra:], f.payload[:n])
	f.payload, f.cuts = f.payload[n:], f.cuts[min(1, len(f.cuts)):]
	f.left--
	more := f.more || f.left > 0
	if f.v6 {
		f.finish6(frame, more)
	} else {
		f.finish4(frame[f.l3:], head-f.l3, more)
	}
	f.offset += n
	return length
}

// nextCut returns how much of the payload the next piece carries.
func (f *Fragmenter) nextCut() int {
	if len(f.cuts) > 0 {
		return min(len(f.payload), int(f.cuts[0]))
	}
	return min(len(f.payload), f.chunk)
}

func (f *Fragmenter) finish4(packet []byte, ihl int, more bool) {
	h := packet[:ihl]
	field := uint16(f.offset / 8)
	if more {
		field |= 0x2000
	}
	if f.whole && f.df {
		field |= 0x4000
	}
	binary.BigEndian.PutUint16(h[2:4], uint16(len(packet)))
	binary.BigEndian.PutUint16(h[4:6], uint16(f.id))
	binary.BigEndian.PutUint16(h[6:8], field)
	if f.offset > 0 {
		blankOptions(h[ipv4Len:])
	}
	setHeaderChecksum(h)
}

// blankOptions overwrites the options that only the first fragment carries
// (RFC 791 section 3.1), which keeps the header as long as it was.
func blankOptions(opts []byte) {
	for len(opts) > 0 && opts[0] != optEnd {
		n := nextOption(opts)
		if n == 0 {
			return
		}
		if opts[0]&optCopied == 0 {
			for i := range n {
				opts[i] = optNop
			}
		}
		opts = opts[n:]
	}
}

func (f *Fragmenter) finish6(frame []byte, more bool) {
	binary.BigEndian.PutUint16(frame[f.l3+4:], uint16(len(frame)-f.l3-ipv6Len))
	if f.whole {
		frame[f.nextAt] = f.next
		return
	}
	frame[f.nextAt] = fragment
	field := uint16(f.offset)
	if more {
		field |= 1
	}
	h := frame[len(f.header):][:fragmentLen]
	h[0], h[1] = f.next, 0
	binary.BigEndian.PutUint16(h[2:4], field)
	binary.BigEndian.PutUint32(h[4:8], f.id)
}
