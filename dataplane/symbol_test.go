package dataplane

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// symbol is a frame as a script writes it:
//
//	SRC -> DST tcp FLAGS | udp BYTES | sctp CHUNK | icmp TYPE/CODE | proto NUMBER  [NAME[=VALUE]...]  [about SYMBOL]
//
// SRC and DST are endpoints, or addresses for what has no ports. See
// testdata/README.md for the names.
type symbol struct {
	src, dst netip.AddrPort
	proto    string
	arg      string
	attr     map[string]string
	about    *symbol // quoted by an ICMP error
}

// attributes are the names that a symbol may carry.
var attributes = []string{
	"ttl", "id", "df", "tos", "seq", "ack", "win", "stamp", "data", "text", "sack", "sum", "sumas", "opts", "frag", "hsum", "ver", "ihl", "len",
	"pad", "mtu", "quote", "hbh", "dst", "route", "tags", "via", "rest", "reflected",
}

func parseSymbol(words []string) (*symbol, error) {
	if len(words) < 4 || words[1] != "->" {
		return nil, fmt.Errorf("want SRC -> DST PROTO, got %q", words)
	}
	s := &symbol{proto: words[3], attr: map[string]string{}}
	var err error
	if s.src, err = parseEnd(words[0]); err != nil {
		return nil, err
	}
	if s.dst, err = parseEnd(words[2]); err != nil {
		return nil, err
	}
	rest := words[4:]
	if len(rest) > 0 && !slices.Contains(attributes, strings.SplitN(rest[0], "=", 2)[0]) && rest[0] != "about" {
		s.arg, rest = rest[0], rest[1:]
	}
	for i, word := range rest {
		if word == "about" {
			s.about, err = parseSymbol(rest[i+1:])
			return s, err
		}
		name, value, _ := strings.Cut(word, "=")
		if !slices.Contains(attributes, name) {
			return nil, fmt.Errorf("no attribute is called %q", name)
		}
		s.attr[name] = value
	}
	return s, nil
}

func parseEnd(word string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(word); err == nil {
		return netip.AddrPortFrom(a, 0), nil
	}
	return netip.ParseAddrPort(word)
}

func (s *symbol) has(name string) bool { _, ok := s.attr[name]; return ok }

// number returns the value of an attribute; other is what it is without.
func (s *symbol) number(name string, other int) int {
	text, ok := s.attr[name]
	if !ok {
		return other
	}
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		panic(fmt.Sprintf("%s=%q is no number", name, text))
	}
	return int(n)
}

// argument returns what follows the protocol, as a number.
func (s *symbol) argument() int {
	n, err := strconv.Atoi(s.arg)
	if err != nil {
		panic(fmt.Sprintf("%s %q: no number", s.proto, s.arg))
	}
	return n
}

func (s *symbol) v6() bool { return s.src.Addr().Is6() }

// with returns s with other endpoints and without what sum does to it.
func (s *symbol) with(src, dst netip.AddrPort) *symbol {
	c := *s
	c.src, c.dst, c.attr = src, dst, maps.Clone(s.attr)
	delete(c.attr, "sum")
	delete(c.attr, "sumas")
	return &c
}
