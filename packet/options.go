package packet

import (
	"bytes"
	"encoding/binary"
)

// IPv4 options (RFC 791 section 3.1).
const (
	optEnd         = 0
	optNop         = 1
	optRecordRoute = 7
	optTimestamp   = 68
	optLooseRoute  = 131
	optStrictRoute = 137
	optAlert       = 148
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
		if n == 0 || !legible(h, opts[:n]) {
			return BadOption
		}
		if opts[0] == optLooseRoute || opts[0] == optStrictRoute {
			return SourceRoute
		}
		opts = opts[n:]
	}
	return OK
}

// legible reports whether Linux reads an option of the header h, which is as
// long as it says. Those that it writes to come once.
func legible(h, opt []byte) bool {
	n := len(opt)
	switch opt[0] {
	case optLooseRoute, optStrictRoute:
		return n >= 3 && opt[2] >= 4
	case optRecordRoute:
		return n >= 3 && opt[2] >= 4 && isFirst(h, opt) && hasRoom(opt, 4)
	case optTimestamp:
		if n < 4 || opt[2] < 5 || !isFirst(h, opt) {
			return false
		}
		const addressed, asked = 1, 3 // with addresses, with those that the sender names
		switch kind := opt[3] & 15; {
		case int(opt[2]) > n: // so many hosts had no room
			return opt[3]>>4 < 15 || kind == asked
		case kind == addressed, kind == asked:
			return hasRoom(opt, 8)
		}
		return hasRoom(opt, 4)
	case optAlert:
		return n >= 4
	}
	return true
}

func isFirst(h, opt []byte) bool { return &findOption(h, opt[0])[0] == &opt[0] }

// hasRoom reports whether an option is full, or has room for n more bytes where
// it points to.
func hasRoom(opt []byte, n int) bool {
	at := int(opt[2]) // counts from 1
	return at > len(opt) || at+n-1 <= len(opt)
}

// FillRecordRoute writes own into the next free place of the record route
// option of p, clears what stands behind the last option, and mends the header
// checksum. It reports whether anything has changed.
func FillRecordRoute(p *Packet, own Addr) bool {
	changed := NoteRoute(p, own)
	if changed {
		setHeaderChecksum(p.Data[p.L3:p.L4])
	}
	return changed
}

// NoteRoute is FillRecordRoute without the header checksum: errors of Linux
// quote a packet so that it has looked at the options of, but not sent.
func NoteRoute(p *Packet, own Addr) (changed bool) {
	if !p.Options {
		return false
	}
	h := p.Data[p.L3:p.L4]
	changed = record(findOption(h, optRecordRoute), own)
	rest := h[ipv4Len:]
	for len(rest) > 0 && rest[0] != optEnd {
		rest = rest[max(1, nextOption(rest)):]
	}
	if len(bytes.Trim(rest, "\x00")) > 0 {
		clear(rest)
		changed = true
	}
	return changed
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
