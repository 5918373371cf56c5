package ftp

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/packet"
)

func end(text string) packet.Endpoint {
	if text == "" {
		return packet.Endpoint{}
	}
	return packet.EndpointFrom(netip.MustParseAddrPort(text))
}

var requests = []struct {
	name, text string
	mode       Mode
	client     string
}{
	{"PASV", "PASV\r\n", Passive, ""},
	{"in small letters", "pasv\r\n", Passive, ""},
	{"behind another line", "USER joe\r\nPaSv\r\nLIST\r\n", Passive, ""},
	{"with a space", "PASV \r\n", Passive, ""},
	{"with a bare line feed", "PASV\n", Passive, ""},
	{"within a line", "STOR PASV\r\n", None, ""},
	{"without its end", "PASV", None, ""},
	{"with an argument", "PASV x\r\n", None, ""},
	{"EPSV", "EPSV\r\n", Extended, ""},
	{"EPSV of a family", "epsv 2\r\n", Extended, ""},
	{"EPSV ALL", "EPSV ALL\r\n", None, ""},
	{"EPSV ALL, then EPSV", "EPSV ALL\r\nEPSV\r\n", Extended, ""},
	{"PORT", "PORT 198,51,100,7,19,137\r\n", Active, "198.51.100.7:5001"},
	{"PORT in small letters", "port 198,51,100,7,4,1\r\n", Active, "198.51.100.7:1025"},
	{"PORT of too much", "PORT 198,51,100,7,256,1\r\n", None, ""},
	{"PORT of too little", "PORT 198,51,100,7,1\r\n", None, ""},
	{"PORT 0", "PORT 198,51,100,7,0,0\r\n", None, ""},
	{"PORT and more", "PORT 198,51,100,7,4,1,1\r\n", None, ""},
	{"half of PORT", "PORT 198,51,100,7,4,1", None, ""},
	{"EPRT", "EPRT |1|198.51.100.7|5001|\r\n", Active, "198.51.100.7:5001"},
	{"EPRT of IPv6", "eprt |2|2001:DB8:7::7|5001|\r\n", Active, "[2001:db8:7::7]:5001"},
	{"EPRT with another bar", "EPRT !2!::1!65535!\r\n", Active, "[::1]:65535"},
	{"EPRT of a family that is none", "EPRT |3|198.51.100.7|5001|\r\n", None, ""},
	{"EPRT of a port that is none", "EPRT |1|198.51.100.7|65536|\r\n", None, ""},
	{"EPRT without its last bar", "EPRT |1|198.51.100.7|5001\r\n", None, ""},
	{"a short line", "\r\nNO\r\n\n", None, ""},
}

func TestWhatAClientAsksFor(t *testing.T) {
	for _, c := range requests {
		if got := ReadRequest([]byte(c.text)); got != (Request{c.mode, end(c.client)}) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

var answers = []struct {
	name, text string
	mode       Mode
	server     string // "": none
	stands     string
}{
	{"227", "227 Entering Passive Mode (10,0,0,11,195,80).\r\n", Passive, "10.0.0.11:50000", "10,0,0,11,195,80"},
	{"227 without parentheses", "227 Passive: 10,0,0,11,4,1\r\n", Passive, "10.0.0.11:1025", "10,0,0,11,4,1"},
	{"227 with an equals sign", "227 ok =10,0,0,11,4,1\r\n", Passive, "10.0.0.11:1025", "10,0,0,11,4,1"},
	{"227 with another number", "227 mode 2 (10,0,0,11,4,1)\r\n", Passive, "10.0.0.11:1025", "10,0,0,11,4,1"},
	{"227 behind the answer before", "226 done\r\n227 (10,0,0,11,4,1)\r\n", Passive, "10.0.0.11:1025", "10,0,0,11,4,1"},
	{"227 that nobody asked for", "227 Entering Passive Mode (10,0,0,11,195,80).\r\n", Extended, "", ""},
	{"227 among many lines", "227-hello\r\n 227 (1,2,3,4,5,6)\r\n227 (10,0,0,11,4,1)\r\n", Passive, "10.0.0.11:1025", "10,0,0,11,4,1"},
	{"half of 227", "227 Entering Passive Mode (10,0,0,11,195,80", Passive, "", ""},
	{"227 of too much", "227 (10,0,0,256,195,80)\r\n", Passive, "", ""},
	{"227 of seven numbers", "227 (10,0,0,11,4,1,1)\r\n", Passive, "", ""},
	{"229", "229 Entering Extended Passive Mode (|||50000|)\r\n", Extended, ":50000", "50000"},
	{"229 with another bar", "229 ok (!!!1025!)\r\n", Extended, ":1025", "1025"},
	{"229 of a port that is none", "229 ok (|||65536|)\r\n", Extended, "", ""},
	{"229 with an address", "229 ok (|1|10.0.0.11|50000|)\r\n", Extended, "", ""},
	{"229 cut short", "229 ok (|||50000|", Extended, "", ""},
	{"229 for PASV", "229 ok (|||50000|)\r\n", Passive, "", ""},
	{"another code", "237 (10,0,0,11,4,1)\r\n", Passive, "", ""},
}

func TestWhereAServerWaits(t *testing.T) {
	for _, c := range answers {
		got, ok := ReadAnswer([]byte(c.text), c.mode)
		want := packet.Endpoint{}
		if port, found := strings.CutPrefix(c.server, ":"); found {
			n, _ := strconv.Atoi(port)
			want.Port = uint16(n)
		} else {
			want = end(c.server)
		}
		if ok != (c.server != "") || ok && (got.Server != want || c.text[got.At:got.End] != c.stands) {
			t.Errorf("%s: %+v, %v", c.name, got, ok)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, e := range []string{"0.0.0.0:1", "255.255.255.255:65535", "192.0.2.1:1025", "10.200.3.4:256"} {
		text := append(Passive.AppendTo([]byte("227 ("), end(e)), ")\r\n"...)
		if got, ok := ReadAnswer(text, Passive); !ok || got.Server != end(e) {
			t.Errorf("%s: %q is %+v", e, text, got)
		}
		text = append(Extended.AppendTo([]byte("229 (|||"), end(e)), "|)\r\n"...)
		if got, ok := ReadAnswer(text, Extended); !ok || got.Server.Port != end(e).Port {
			t.Errorf("%s: %q is %+v", e, text, got)
		}
	}
}

// slowRequest is ReadRequest written a second time, with regular expressions
// and the standard library.
func slowRequest(text string) Request {
	lines := strings.Split(text, "\n")
	for _, line := range lines[:len(lines)-1] {
		line = strings.TrimSuffix(line, "\r")
		line = strings.TrimRight(line[:min(len(line), maxLine)], " ")
		if regexp.MustCompile(`(?i)^PASV$`).MatchString(line) {
			return Request{Mode: Passive}
		}
		if regexp.MustCompile(`(?i)^EPSV( [0-9])?$`).MatchString(line) {
			return Request{Mode: Extended}
		}
		var n [6]int
		if m := regexp.MustCompile(`(?i)^PORT (\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})$`).FindStringSubmatch(line); m != nil {
			ok := true
			for i := range n {
				n[i], _ = strconv.Atoi(m[i+1])
				ok = ok && n[i] < 256
			}
			if ok && n[4]+n[5] > 0 {
				return Request{Active, end(fmt.Sprintf("%d.%d.%d.%d:%d", n[0], n[1], n[2], n[3], n[4]<<8|n[5]))}
			}
		}
		if len(line) < 7 || !strings.EqualFold(line[:5], "EPRT ") || line[5] <= ' ' || line[5] > '~' || isDigit(line[5]) {
			continue
		}
		parts := strings.Split(line[6:], line[5:6])
		if len(parts) != 4 || parts[3] != "" || !regexp.MustCompile(`^\d{1,5}$`).MatchString(parts[2]) {
			continue
		}
		port, _ := strconv.Atoi(parts[2])
		if port == 0 || port > 65535 {
			continue
		}
		addr, err := netip.ParseAddr(strings.ReplaceAll(parts[1], "%", "x"))
		if parts[0] == "1" {
			addr, err = dotted(parts[1])
		}
		if err == nil && (parts[0] == "1" && addr.Is4() || parts[0] == "2" && addr.Is6() && !strings.Contains(parts[1], ".")) {
			return Request{Active, packet.Endpoint{Addr: packet.AddrFrom(addr), Port: uint16(port)}}
		}
	}
	return Request{}
}

// dotted reads an IPv4 address whose numbers may begin with zeros.
func dotted(text string) (netip.Addr, error) {
	return netip.ParseAddr(regexp.MustCompile(`\b0{1,2}(\d)`).ReplaceAllString(text, "$1"))
}

func FuzzReadRequest(f *testing.F) {
	for _, c := range requests {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		got := ReadRequest(text)
		if !bytes.Equal(text, before) {
			t.Fatal("the text was changed")
		}
		if want := slowRequest(string(text)); got != want {
			t.Fatalf("%q is %+v, want %+v", text, got, want)
		}
	})
}

// FuzzReadAnswer: what is found lies within a line of its own, and in its place
// another endpoint is found again.
func FuzzReadAnswer(f *testing.F) {
	for _, c := range answers {
		f.Add([]byte(c.text), c.mode == Extended)
	}
	f.Fuzz(func(t *testing.T, text []byte, extended bool) {
		mode := Passive
		if extended {
			mode = Extended
		}
		a, ok := ReadAnswer(text, mode)
		if !ok {
			return
		}
		if a.At < 4 || a.End <= a.At || a.End >= len(text) || bytes.IndexByte(text[a.At:a.End], '\n') >= 0 {
			t.Fatalf("%+v in %q", a, text)
		}
		other := end("192.0.2.1:65535")
		again := append(mode.AppendTo(bytes.Clone(text[:a.At]), other), text[a.End:]...)
		b, ok := ReadAnswer(again, mode)
		if mode == Extended {
			other.Addr = packet.Addr{}
		}
		// Near the longest line the longer text may not fit.
		if bytes.LastIndexByte(text[:a.At], '\n')+maxLine-16 > a.End && (!ok || b.Server != other || b.At != a.At) {
			t.Fatalf("%q became %q: %+v, %v", text, again, b, ok)
		}
	})
}

func TestReadingAllocatesNothing(t *testing.T) {
	var room [64]byte
	for _, c := range requests {
		text := []byte(c.text)
		if n := testing.AllocsPerRun(10, func() { ReadRequest(text) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
	for _, c := range answers {
		text := []byte(c.text)
		if n := testing.AllocsPerRun(10, func() {
			a, _ := ReadAnswer(text, c.mode)
			c.mode.AppendTo(room[:0], a.Server)
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}
