// Package ftp reads the lines of an FTP control connection that tell of other
// connections: the commands PORT, EPRT, PASV and EPSV, and the answers 227 and
// 229 (RFC 959, RFC 2428).
//
// As in IPVS, the text of one packet is looked at by itself. A line counts if
// it begins with the text or behind a line feed and ends within the text; what
// is spread over two packets is not seen, and so stays as it is. Nothing here
// allocates or keeps the text.
package ftp

import (
	"bytes"

	"github.com/lvx-lb/lvx/packet"
)

// Mode is how a data connection comes about.
type Mode uint8

// The modes.
const (
	None     Mode = iota
	Active        // PORT, EPRT: the server calls the client
	Passive       // PASV: the client calls what 227 names
	Extended      // EPSV: the client calls the port that 229 names
)

// maxLine is the longest line that is read, RFC 959's 512 and room to spare.
const maxLine = 1024

// Request is what a client asks for.
type Request struct {
	Mode   Mode
	Client packet.Endpoint // where it waits; valid if Active
}

// ReadRequest returns the first request in the text of a client.
func ReadRequest(text []byte) Request {
	for {
		line, rest, ok := cutLine(text)
		if !ok {
			return Request{}
		}
		if r := request(line); r.Mode != None {
			return r
		}
		text = rest
	}
}

func request(line []byte) Request {
	if len(line) < 4 {
		return Request{}
	}
	verb := [4]byte(line)
	for i := range verb {
		verb[i] &^= 0x20 // upper case
	}
	argument := bytes.TrimRight(line[4:], " ")
	switch verb {
	case [4]byte{'P', 'A', 'S', 'V'}:
		if len(argument) == 0 {
			return Request{Mode: Passive}
		}
	case [4]byte{'E', 'P', 'S', 'V'}:
		// EPSV ALL is a promise and asks for nothing.
		if len(argument) == 0 || len(argument) == 2 && argument[0] == ' ' && isDigit(argument[1]) {
			return Request{Mode: Extended}
		}
	case [4]byte{'P', 'O', 'R', 'T'}:
		if at, n := six(argument); n > 0 && n == len(argument)-1 && argument[0] == ' ' {
			return Request{Active, at}
		}
	case [4]byte{'E', 'P', 'R', 'T'}:
		if at, ok := extended(argument); ok {
			return Request{Active, at}
		}
	}
	return Request{}
}

// extended reads " |1|192.0.2.7|6275|" or " |2|2001:db8::7|6275|", the bar
// being any sign.
func extended(argument []byte) (e packet.Endpoint, ok bool) {
	if len(argument) < 4 || argument[0] != ' ' {
		return e, false
	}
	bar := argument[1]
	if bar <= ' ' || bar > '~' || isDigit(bar) {
		return e, false
	}
	family, rest, _ := bytes.Cut(argument[2:], []byte{bar})
	addr, rest, _ := bytes.Cut(rest, []byte{bar})
	port, rest, found := bytes.Cut(rest, []byte{bar})
	if !found || len(rest) > 0 || len(family) != 1 {
		return e, false
	}
	n, digits := number(port, 65535)
	if digits == 0 || digits < len(port) || n == 0 {
		return e, false
	}
	switch family[0] {
	case '1':
		e.Addr, ok = addr4(addr)
	case '2':
		e.Addr, ok = addr6(addr)
	}
	e.Port = uint16(n)
	return e, ok
}

// Answer is where a server awaits its client.
type Answer struct {
	Server  packet.Endpoint // without address if Extended
	At, End int             // where in the text it stands
}

// ReadAnswer returns where the text of a server, which was asked for mode,
// says that it waits.
func ReadAnswer(text []byte, mode Mode) (Answer, bool) {
	for at := 0; ; {
		line, rest, ok := cutLine(text[at:])
		if !ok {
			return Answer{}, false
		}
		if a, ok := answer(line, mode); ok {
			a.At, a.End = a.At+at, a.End+at
			return a, true
		}
		at = len(text) - len(rest)
	}
}

func answer(line []byte, mode Mode) (Answer, bool) {
	if len(line) < 4 || line[0] != '2' || line[1] != '2' || line[3] != ' ' {
		return Answer{}, false
	}
	switch {
	case line[2] == '7' && mode == Passive:
		// RFC 1123 section 4.1.2.6: look for the digits, there may be no
		// parentheses.
		for i := 3; i < len(line)-1; i++ {
			if isDigit(line[i]) || line[i] == ',' || !isDigit(line[i+1]) {
				continue
			}
			if e, n := six(line[i:]); n > 0 && (i+1+n == len(line) || line[i+1+n] != ',') {
				return Answer{e, i + 1, i + 1 + n}, true
			}
		}
	case line[2] == '9' && mode == Extended:
		i := bytes.IndexByte(line, '(')
		if i < 0 || len(line) < i+6 {
			break
		}
		bar, rest := line[i+1], line[i+4:]
		n, digits := number(rest, 65535)
		if line[i+2] == bar && line[i+3] == bar && n > 0 && digits+1 < len(rest) && rest[digits] == bar && rest[digits+1] == ')' {
			return Answer{packet.Endpoint{Port: uint16(n)}, i + 4, i + 4 + digits}, true
		}
	}
	return Answer{}, false
}

// AppendTo writes what stands in an answer of mode for the endpoint e.
func (m Mode) AppendTo(to []byte, e packet.Endpoint) []byte {
	if m == Extended {
		return appendNumber(to, uint32(e.Port))
	}
	ip := e.Addr.V4()
	for _, n := range [...]uint32{ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255, uint32(e.Port >> 8)} {
		to = append(appendNumber(to, n), ',')
	}
	return appendNumber(to, uint32(e.Port&255))
}

// cutLine returns the first line of text without its end, and what follows.
func cutLine(text []byte) (line, rest []byte, ok bool) {
	n := bytes.IndexByte(text, '\n')
	if n < 0 {
		return nil, nil, false
	}
	line, rest = text[:n], text[n+1:]
	if n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line[:min(len(line), maxLine)], rest, true
}
