package dataplane

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/packet"
)

// TestWhatCannotBeReadGoesUpWhereLinuxAnswersIt spoils one thing of a frame:
// the kernel's own stack tells the sender of a parameter problem.
func TestWhatCannotBeReadGoesUpWhereLinuxAnswersIt(t *testing.T) {
	const plain, six = "198.51.100.7:1 -> 192.0.2.1:53 udp 100", "[2001:db8:7::7]:1 -> [2001:db8::1]:53 udp 100"
	for _, c := range []struct {
		name, symbol string
		spoil        func(ip []byte)
		up           bool
	}{
		{"an option without length", plain + " opts=nop", func(ip []byte) { ip[20], ip[21] = 68, 1 }, true},
		{"no room for an address", plain + " opts=rr:1", func(ip []byte) { ip[22] = 6 }, true},
		{"a place before the first", plain + " opts=rr:1", func(ip []byte) { ip[22] = 3 }, true},
		{"two record routes", plain + " opts=rr:2", func(ip []byte) { copy(ip[20:], []byte{7, 3, 4, 7, 7, 4}) }, true},
		{"a short router alert", plain + " opts=ra", func(ip []byte) { ip[21] = 2 }, true},
		{"a timestamp where no more can be missed", plain + " opts=rr:1", func(ip []byte) { copy(ip[20:], []byte{68, 8, 9, 0xf0}) }, true},
		{"a hop-by-hop option that must be known", six + " hbh", func(ip []byte) { ip[42] = 0xc0 }, true},
		{"a hop-by-hop option that is too long", six + " hbh", func(ip []byte) { ip[42], ip[43] = 1, 5 }, true},
		{"half of a TCP header in a fragment of IPv6", "[2001:db8:7::7]:1 -> [2001:db8::1]:80 tcp S data=80 frag=0:16", func([]byte) {}, false},
		{"a hop-by-hop header that is not the first", six + " dst", func(ip []byte) { ip[40] = 0 }, true},
		{"an uneven fragment of IPv6", six + " frag=0:64", func(ip []byte) { ip[5]-- }, true},
		{"an impossible header length", plain, func(ip []byte) { ip[0] = 0x41 }, false},
		{"a source route", plain + " opts=lsrr:192.0.2.9", func([]byte) {}, false},
	} {
		s := &script{t: t, names: map[string]int{}, top: topologies["twonic"], sizes: sizes{conns: 100, frames: 256, ring: 256}}
		s.do("$ -A -u 192.0.2.1:53 -s rr")
		frame := s.frame(0, s.symbol(strings.Fields(c.symbol)), 64, false)
		ip := frame[14:]
		c.spoil(ip)
		if ip[0]>>4 == 4 && ip[0]&15 >= 5 {
			h := ip[:ip[0]&15*4]
			binary.BigEndian.PutUint16(h[10:], 0)
			binary.BigEndian.PutUint16(h[10:], packet.Checksum(h, 0))
		}
		if !s.arrive(0, bytes.Clone(frame)) {
			t.Fatal("not taken")
		}
		s.run(t)
		if up := len(s.up.frames) == 1 && bytes.Equal(s.up.frames[0].frame, frame); up != c.up {
			t.Errorf("%s: up %v; %s", c.name, up, s.dropped())
		}
	}
}
