package packet

import "encoding/binary"

// IPv4 options (RFC 791 section 3.1).
const (
	optEnd         = 0
	optNop         = 1
	optRecordRoute = 7
	optTimestamp   = 68
	optLooseRoute  = 131
	optStrictRoute = 137
	optCopied      = 0x80 // goes into every fragment

	maxOptions = 40
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
	filled := record(findOption(h, optRecordRoute), own)
	if filled {
		setHeaderChecksum(h)
	}
	return filled
}

// NoteRoute is FillRecordRoute without the header checksum: errors of Linux
// quote a packet so that it has looked at the options of, but not sent.
func NoteRoute(p *Packet, own Addr) {
	if p.Options {
		record(findOption(p.Data[p.L3:p.L4], optRecordRoute), own)
	}
}

// findOption returns an option of the IPv4 header h, nil if it has none.
func findOption(h []byte, kind uint8) []byte {
	for opts := h[ipv4Len:]; len(opts) > 0 && opts[0] != optEnd; {
		n := nextOption(opts)
		if n == 0 {
			return nil
		}
		if opts[0] == kind {
			return opts[:n]
		}
		opts = opts[n:]
	}
	return nil
}

// record writes own into the next free place of a record route option, and
// reports whether there was one.
func record(opt []byte, own Addr) bool {
	if len(opt) < 3 {
		return false
	}
	at := int(opt[2]) // counts from 1
	if at < 4 || at+3 > len(opt) {
		return false
	}
	binary.BigEndian.PutUint32(opt[at-1:], own.V4())
	opt[2] += 4
	return true
}

// echo returns the options that an error about p carries: its record route,
// with own in the next free place, and its timestamps. Where a part of an
// address is all that has room, Linux sends no error.
func echo(to *[maxOptions]byte, p *Packet, own Addr) (options []byte, ok bool) {
	if !p.Options {
		return nil, true
	}
	h := p.Data[p.L3:p.L4]
	n := copy(to[:], findOption(h, optRecordRoute))
	if way := to[:n]; !record(way, own) && n >= 3 && int(way[2]) <= n {
		return nil, false
	}
	n += copy(to[n:], findOption(h, optTimestamp))
	return to[:(n+3)&^3], true
}

// insertOptions makes the IPv4 header of packet, whose length counts them
// already and whose payload lies behind their place, one with options.
func insertOptions(packet, options []byte) {
	copy(packet[ipv4Len:], options)
	packet[0] += uint8(len(options) / 4)
	setHeaderChecksum(packet[:ipv4Len+len(options)])
}

// setHeaderChecksum computes the checksum of an IPv4 header anew.
func setHeaderChecksum(h []byte) {
	binary.BigEndian.PutUint16(h[10:12], 0)
	binary.BigEndian.PutUint16(h[10:12], Checksum(h, 0))
}
