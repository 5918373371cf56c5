package ftp

import "github.com/lvx-lb/lvx/packet"

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// number reads the decimal number that b begins with; no digits, or a number
// above limit, is none.
func number(b []byte, limit uint32) (n uint32, digits int) {
	for digits < len(b) && isDigit(b[digits]) {
		n = n*10 + uint32(b[digits]-'0')
		digits++
		if n > limit || digits > 5 {
			return 0, 0
		}
	}
	return n, digits
}

func appendNumber(to []byte, n uint32) []byte {
	if n >= 10 {
		to = appendNumber(to, n/10)
	}
	return append(to, byte('0'+n%10))
}

// six reads h1,h2,h3,h4,p1,p2 behind the first byte of b and returns how long
// it is, 0 if it is not there.
func six(b []byte) (e packet.Endpoint, length int) {
	var all [6]uint32
	at := 1
	for i := range all {
		if i > 0 {
			if at >= len(b) || b[at] != ',' {
				return e, 0
			}
			at++
		}
		if at > len(b) {
			return e, 0
		}
		n, digits := number(b[at:], 255)
		if digits == 0 {
			return e, 0
		}
		all[i] = n
		at += digits
	}
	e.Addr = packet.AddrFrom4(all[0]<<24 | all[1]<<16 | all[2]<<8 | all[3])
	e.Port = uint16(all[4]<<8 | all[5])
	if e.Port == 0 {
		return e, 0
	}
	return e, at - 1
}

// addr4 reads a dotted IPv4 address.
func addr4(b []byte) (packet.Addr, bool) {
	ip := uint32(0)
	for i := range 4 {
		if i > 0 {
			if len(b) == 0 || b[0] != '.' {
				return packet.Addr{}, false
			}
			b = b[1:]
		}
		n, digits := number(b, 255)
		if digits == 0 || digits > 3 {
			return packet.Addr{}, false
		}
		ip, b = ip<<8|n, b[digits:]
	}
	return packet.AddrFrom4(ip), len(b) == 0
}

// addr6 reads an IPv6 address (RFC 4291 section 2.2), without a zone and
// without the form that ends in an IPv4 address: clients have none of those.
func addr6(b []byte) (packet.Addr, bool) {
	var words [8]uint16
	n, gap := 0, -1 // words so far, and where :: stands
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, b = 0, b[2:]
	}
	for len(b) > 0 {
		w, digits := hexadecimal(b)
		if digits == 0 || n == len(words) {
			return packet.Addr{}, false
		}
		words[n], b = w, b[digits:]
		n++
		switch {
		case len(b) == 0:
		case b[0] != ':' || len(b) == 1:
			return packet.Addr{}, false
		case b[1] != ':':
			b = b[1:]
		case gap >= 0:
			return packet.Addr{}, false
		default:
			gap, b = n, b[2:]
		}
	}
	if (n == len(words)) != (gap < 0) {
		return packet.Addr{}, false
	}
	if gap >= 0 {
		tail := n - gap
		copy(words[len(words)-tail:], words[gap:n])
		clear(words[gap : len(words)-tail])
	}
	return packet.Addr{Hi: join(words[:4]), Lo: join(words[4:])}, true
}

func hexadecimal(b []byte) (w uint16, digits int) {
	for digits < len(b) && digits < 4 {
		c := b[digits] | 0x20 // lower case; digits have that bit
		switch {
		case isDigit(b[digits]):
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return w, digits
		}
		w = w<<4 | uint16(c)
		digits++
	}
	return w, digits
}

func join(words []uint16) (n uint64) {
	for _, w := range words {
		n = n<<16 | uint64(w)
	}
	return n
}
