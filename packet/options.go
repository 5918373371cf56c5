package packet

import "encoding/binary"

// IPv4 options (RFC 791 section 3.1).
const (
	optEnd         = 0
	optNop         = 1
	optRecordRoute = 7
	optLooseRoute  = 131
	optStrictRoute = 137
	optCopied      = 0x80 // goes into every fragment
)

// nextOption returns the length of the option that opts begins with; 0 means
// that it cannot be read.
func nextOption(opts []byte) int {
	if opts[0] == optNop {
		return 1
	}
	if len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts) {
		return 0
	}
	return int(opts[1])
}

// parseOptions checks an IPv4 header with options.
func (p *Packet) parseOptions(h []byte) Fault {
	p.Options = true
	if sum(h, 0) != 0xffff {
		return BadChecksum
	}
	for opts := h[ipv4Len:]; len(opts) > 0 && opts[0] != optEnd; {
		n := nextOption(opts)
		if n == 0 {
			return BadOption
		}
		if opts[0] == optLooseRoute || opts[0] == optStrictRoute {
			return SourceRoute
		}
		opts = opts[n:]
	}
	return OK
}

// FillRecordRoute writes own into the next free place of the record route
// option of p and mends the header checksum. It reports whether there was one.
func FillRecordRoute(p *Packet, own Addr) bool {
	if !p.Options {
		return false
	}
	h := p.Data[p.L3:p.L4]
	for opts := h[ipv4Len:]; len(opts) > 0 && opts[0] != optEnd; {
		n := nextOption(opts)
		if n == 0 {
			return false
		}
		if opts[0] == optRecordRoute {
			return n >= 3 && record(h, opts[:n], own)
		}
		opts = opts[n:]
	}
	return false
}

func record(h, opt []byte, own Addr) bool {
	at := int(opt[2]) // counts from 1
	if at < 4 || at+3 > len(opt) {
		return false
	}
	binary.BigEndian.PutUint32(opt[at-1:], own.V4())
	opt[2] += 4
	setHeaderChecksum(h)
	return true
}

// setHeaderChecksum computes the checksum of an IPv4 header anew.
func setHeaderChecksum(h []byte) {
	binary.BigEndian.PutUint16(h[10:12], 0)
	binary.BigEndian.PutUint16(h[10:12], Checksum(h, 0))
}
