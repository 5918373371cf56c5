package dataplane

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/packet"
)

// opened are frames that open connections, before anything else comes.
var opened = []string{
	"public 198.51.100.7:1 -> 192.0.2.1:53 udp 9",
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp S",
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp A",
	"public [2001:db8:7::7]:9 -> [2001:db8::1]:53 udp 9",
	"public 198.51.100.7:1 -> 192.0.2.1:90 sctp INIT",
	"public 198.51.100.7:1 -> 192.0.2.33:53 udp 9",
	"public 198.51.100.7:1 -> 192.0.2.1:21 tcp S",
	"public 198.51.100.7:1 -> 192.0.2.1:21 tcp A",
	`public 198.51.100.7:1 -> 192.0.2.1:21 tcp PA seq=101 ack=501 text=PASV\r\n`,
	`private 10.0.0.11:21 -> 198.51.100.7:1 tcp PA seq=501 ack=107 text=227_(10,0,0,11,195,80)\r\n`,
}

// talking are the rules of a service of FTP.
var talking = []string{"-A -t 192.0.2.1:21 -s rr", "-a -t 192.0.2.1:21 -r 10.0.0.11:21 -m"}

func (s *script) rules(lines []string) {
	for _, line := range lines {
		if err := s.command(strings.Fields(line)); err != nil {
			panic(err)
		}
	}
}

// grown are what the fuzzer starts from: every kind of frame.
var grown = []string{
	"public 198.51.100.7:1 -> 192.0.2.1:53 udp 99",
	"public 198.51.100.7:2 -> 192.0.2.1:53 udp 99 sum=none",
	"public 198.51.100.7:1 -> 192.0.2.1:53 udp 200 frag=0:64",
	"public 198.51.100.7:1 -> 192.0.2.1:53 udp 200 frag=64:200",
	"public 198.51.100.7:1 -> 192.0.2.1:53 udp 99 opts=rr:3",
	"public 198.51.100.7:1 -> 192.0.2.1:53 udp 99 ttl=1",
	"public 198.51.100.7:1 -> 192.0.2.1:53 udp 1480 df",
	"public 198.51.100.7:1 -> 192.0.2.1:53 udp 1480",
	"public 198.51.100.7:1 -> 192.0.2.1:54 udp 9",
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp PA data=10",
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp PA data=10 sum=partial",
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp FA",
	"public 198.51.100.7:9 -> 192.0.2.1:80 tcp A",
	"public 198.51.100.7:9 -> 192.0.2.1:80 tcp S tags=10",
	"public 198.51.100.1 -> 192.0.2.1 icmp 3/4 mtu=1000 about 192.0.2.1:53 -> 198.51.100.7:1 udp 99",
	"public 198.51.100.1 -> 192.0.2.1 icmp 8/0 data=56",
	"public [2001:db8:7::7]:9 -> [2001:db8::1]:53 udp 9 hbh dst",
	"public [2001:db8:7::7]:9 -> [2001:db8::1]:53 udp 200 frag=0:64",
	"public [2001:db8:7::7]:9 -> [2001:db8::1]:53 udp 200 frag=64:200",
	"public 2001:db8:7::1 -> 2001:db8::1 icmp 2/0 mtu=1280 about [2001:db8::1]:53 -> [2001:db8:7::7]:9 udp 99",
	"public 198.51.100.7:1 -> 192.0.2.1:90 sctp COOKIE-ECHO data=8",
	"public 198.51.100.7:1 -> 192.0.2.1:90 sctp DATA data=8 sum=partial",
	"public 198.51.100.7:9 -> 192.0.2.1:90 sctp DATA data=8",
	"public 198.51.100.7:9 -> 192.0.2.1:90 sctp INIT data=1480",
	"private 10.0.0.11:9090 -> 198.51.100.7:1 sctp INIT-ACK data=40",
	"private 10.0.0.11:9090 -> 198.51.100.8:1 sctp ABORT",
	"public 10.0.0.11:5353 -> 198.51.100.7:1 udp 9",
	"private 10.0.0.11:5353 -> 198.51.100.7:1 udp 99",
	"private 10.0.0.11:5353 -> 198.51.100.7:1 udp 1300 ttl=1",
	"private 10.0.0.11:8080 -> 198.51.100.7:1 tcp SA",
	"private 10.0.0.11:8080 -> 198.51.100.7:2 tcp SA",
	"private 10.0.0.11 -> 198.51.100.7 icmp 3/3 about 198.51.100.7:1 -> 10.0.0.11:5353 udp 99",
	"private [fd00::11]:5353 -> [2001:db8:7::7]:9 udp 9",
	"public 198.51.100.7:1 -> 192.0.2.33:53 udp 99",
	"public 198.51.100.7:1 -> 192.0.2.34:53 udp 99",
	"private 10.0.0.13:5353 -> 198.51.100.7:1 udp 99",
	"private 10.0.0.13 -> 198.51.100.7 icmp 3/3 about 198.51.100.7:1 -> 10.0.0.13:5353 udp 99",
	`public 198.51.100.7:1 -> 192.0.2.1:21 tcp PA seq=101 ack=501 text=PASV\r\n`,
	`private 10.0.0.11:21 -> 198.51.100.7:1 tcp PA seq=501 ack=107 text=227_(10,0,0,11,195,80)\r\n`,
	`private 10.0.0.11:21 -> 198.51.100.7:1 tcp PA seq=2147484154 ack=107 text=far`,
	`public 198.51.100.7:1 -> 192.0.2.1:21 tcp PA seq=107 ack=523 sack=501:520 text=EPSV\r\n`,
	`private 10.0.0.11:21 -> 198.51.100.7:1 tcp PA seq=523 ack=113 text=229_(|||50001|)\r\n sum=partial`,
	`public 198.51.100.7:1 -> 192.0.2.1:21 tcp PA seq=113 ack=600 text=PORT_198,51,100,7,195,80\r\n`,
	"private 10.0.0.11:8080 -> 198.51.100.7:1 tcp A seq=5000 ack=6000 stamp=7:8",
	"public 198.51.100.7:1 -> 192.0.2.1:80 tcp R seq=6000",
	`private 10.0.0.11:20 -> 198.51.100.7:50000 tcp S`,
	`public 198.51.100.7:9 -> 192.0.2.1:50000 tcp S`,
	"private fd00::11 -> 2001:db8:7::7 icmp 1/4 about [2001:db8:7::7]:9 -> [fd00::11]:5353 udp 9",
}

// switches are the settings that packets meet, a bit each.
var switches = []string{
	"sloppy_tcp=1", "sloppy_sctp=1", "nat_icmp_send=1", "schedule_icmp=1", "secure_tcp=3", "drop_entry=3", "drop_packet=3",
	"am_droprate=2", "expire_nodest_conn=1", "conn_reuse_mode=0", "snat_reroute=0", "drop_entry=1", "drop_packet=1",
}

// FuzzProcess lets two frames come together, before and after some time, on a
// worker that has connections, and on one that knows no shortcut. Nothing may
// crash, get lost, leave untranslated, or leave with a wrong checksum that came
// with a right one, and both must do the same.
func FuzzProcess(f *testing.F) {
	s := crowd(f, sizes{conns: 8, frames: 64, ring: 64})
	var first []risen
	for _, line := range opened {
		n, frame := s.bytesOf(line)
		first = append(first, risen{nic: n, frame: frame})
	}
	for i, line := range grown {
		_, a := s.bytesOf(line)
		_, b := s.bytesOf(grown[(i+1)%len(grown)])
		private := strings.HasPrefix(line, "private")
		f.Add(a, b, private, private, uint8(i), uint16(0))
		f.Add(a, a, private, !private, uint8(i)|0x80, uint16(1)<<(i%len(switches)))
	}
	f.Fuzz(func(t *testing.T, a, b []byte, privateA, privateB bool, seconds uint8, switched uint16) {
		var both [2]*script
		for i := range both {
			s := crowd(t, sizes{conns: 8, frames: 64, ring: 64, detour: i > 0, finishes: seconds&2 != 0})
			s.prepare(t, seconds&1 != 0, switched)
			for _, x := range first {
				s.nics[x.nic].Inject(x.frame)
				s.world.run(t)
			}
			for n := range s.sent {
				s.sent[n] = nil
			}
			valid := s.meet(t, a, b, privateA, privateB, seconds)
			for n := range s.sent {
				for _, frame := range s.sent[n] {
					s.judge(t, n, frame, valid)
				}
			}
			both[i] = s
		}
		alike(t, both[0], both[1])
	})
}

// prepare makes s keep what it sends, help FTP, ask idle connections, and have
// the settings of some switches.
func (s *script) prepare(t *testing.T, partial bool, switched uint16) {
	t.Helper()
	for _, m := range s.nics {
		m.Discard(false)
	}
	s.rules(talking)
	s.rules([]string{"--set 5 0 0"})
	s.links[0].Partial, s.links[1].Partial = true, partial
	s.roster.SetLinks(s.links)
	for i, text := range switches {
		if switched>>i&1 != 0 {
			if err := s.sysctl([]string{text}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.adopt()
}

// meet lets the frames arrive, and reports whether all their checksums are
// right.
func (s *script) meet(t *testing.T, a, b []byte, privateA, privateB bool, seconds uint8) (valid bool) {
	t.Helper()
	valid = true
	inject := func(frame []byte, private bool) {
		frame = slices.Clone(frame[:min(len(frame), 1514)])
		if seconds&0x80 != 0 {
			mend(frame)
		}
		valid = valid && packet.VerifyChecksums(slices.Clone(frame)) == nil && !fragmented(frame)
		s.nics[map[bool]int{false: 0, true: 1}[private]].Inject(frame)
	}
	inject(a, privateA)
	inject(b, privateB)
	s.world.run(t)
	inject(a, privateA)
	s.now += Time(seconds&0x7f) * Second
	s.world.run(t)
	inject(b, privateB)
	s.world.run(t)
	return valid
}

// mend makes the checksums right that a mutation has made wrong.
func mend(frame []byte) {
	for at := 14; at <= 22 && len(frame) >= at+20; at += 4 {
		h := frame[at : at+min(int(frame[at]&15)*4, len(frame)-at)]
		if frame[at]>>4 != 4 || len(h) < 20 {
			continue
		}
		clear(h[10:12])
		binary.BigEndian.PutUint16(h[10:], ^wordSum(h))
		break
	}
	var p packet.Packet
	if packet.Parse(frame, &p) == packet.OK && p.HasPorts {
		p.FillChecksum()
	}
}

func fragmented(frame []byte) bool {
	var p packet.Packet
	return packet.Parse(slices.Clone(frame), &p) == packet.OK && p.Fragment
}

// judge looks at a frame that left.
func (s *script) judge(t *testing.T, nic int, frame []byte, valid bool) {
	t.Helper()
	var p packet.Packet
	if fault := packet.Parse(slices.Clone(frame), &p); fault != packet.OK {
		t.Fatalf("left on NIC %d: %v\n%s", nic, fault, dissect(frame))
	}
	if valid {
		if err := packet.VerifyChecksums(slices.Clone(frame)); err != nil {
			t.Fatalf("left on NIC %d: %v\n%s", nic, err, dissect(frame))
		}
	}
	src, dst := p.Src.Netip(), p.Dst.Netip()
	isVIP := func(a netip.Addr) bool {
		return a.String() == "192.0.2.1" || a.String() == "2001:db8::1" || netip.MustParsePrefix("192.0.2.32/28").Contains(a)
	}
	isServer := func(a netip.Addr) bool {
		return a.String() == "10.0.0.11" || a.String() == "fd00::11" || a.String() == "10.0.0.13"
	}
	isOwn := func(a netip.Addr) bool { return slices.Contains(s.own, a.String()) }
	switch {
	case isVIP(dst):
		t.Fatalf("left on NIC %d to the VIP\n%s", nic, dissect(frame))
	case nic == 0 && !isVIP(src) && !(isOwn(src) && p.IsError): // about fragments that were not for a VIP
		t.Fatalf("left to clients from %v\n%s", src, dissect(frame))
	case nic == 1 && !isServer(dst) && !isVIP(src) && !isOwn(src):
		t.Fatalf("left to servers, from %v to %v\n%s", src, dst, dissect(frame))
	case MAC(frame[6:12]) != s.links[nic].MAC:
		t.Fatalf("left on NIC %d with a foreign source MAC\n%s", nic, dissect(frame))
	}
}
