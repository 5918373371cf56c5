package dataplane

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// The recordings in testdata/ipvs are of Linux IPVS (kernel 6.1): pub0 faces
// the clients, prv0 the servers. What came in is injected at its time; what
// left must be what left there, frame by frame, in its order: a strict director
// differs in nothing.

// recording says what the director of a recording was told. A step is taken
// when the capture's clock comes to it.
type recording struct {
	name     string
	steps    []step
	until    string // time of day where the comparison ends, "" = at the end
	compared int    // frames that left there and are compared
}

type step struct {
	at string // time of day, "" = before the first frame
	do string // a step as in scripts
}

const (
	web  = "$ -A -t 203.0.113.100:80 -s rr"
	web1 = "$ -a -t 203.0.113.100:80 -r 10.1.0.61:8080 -m"
	dns  = "$ -A -u 203.0.113.100:53 -s rr"
	dns1 = "$ -a -u 203.0.113.100:53 -r 10.1.0.61:5353 -m"
)

func first(do ...string) (steps []step) {
	for _, d := range do {
		steps = append(steps, step{"", d})
	}
	return steps
}

var recordings = []recording{
	{name: "hdr", steps: first(web, web1, dns, dns1), compared: 29},
	{name: "tcp-vectors", steps: first(web, web1), compared: 12},
	{name: "tcp-halfopen", steps: first(web, web1, dns, dns1), compared: 12},
	{name: "tcp-rr-live", steps: first(web, "$ -a -t 203.0.113.100:80 -r 10.1.0.11:8080 -m", "$ -a -t 203.0.113.100:80 -r 10.1.0.12:8080 -m"), compared: 76},
	{name: "udp-rr", steps: first(dns, "$ -a -u 203.0.113.100:53 -r 10.1.0.11:9000 -m", "$ -a -u 203.0.113.100:53 -r 10.1.0.12:9000 -m", "$ -a -u 203.0.113.100:53 -r 10.1.0.13:9000 -m"), compared: 26},
	{name: "udp-zerocsum-live", steps: first(dns, "$ -a -u 203.0.113.100:53 -r 10.1.0.11:9000 -m", "$ -a -u 203.0.113.100:53 -r 10.1.0.12:9000 -m", "$ -a -u 203.0.113.100:53 -r 10.1.0.13:9000 -m"), compared: 7},
	{name: "udp-frag", steps: first(web, web1, dns, dns1), compared: 37},
	{name: "nosvc-ports", steps: first(web, web1, dns, dns1)},
	{name: "nosvc-tcpflags", steps: first(web, web1, dns, dns1), compared: 10},
	{name: "nosvc-tcpflags-sloppy", steps: first(web, web1, dns, dns1, "$ sysctl sloppy_tcp=1"), compared: 5},
	{name: "nosvc-rs-out", steps: append(first(web, web1, dns, dns1), step{"09:07:42.620", "$ sysctl nat_icmp_send=1"}), compared: 5},
	{name: "direct-to-rip", steps: first(web, web1), until: "09:37:44", compared: 2}, // an older error of the kernel follows
	{name: "icmp-echo", steps: first(web, web1, dns, dns1)},
	{name: "icmp-rs-portunreach", steps: first(web, web1, dns, dns1), compared: 9},
	{name: "icmp-fragneeded", steps: first(web, web1, dns, dns1), compared: 13},
	{name: "icmp-traceroute", steps: first("$ -A -t 203.0.113.100:81 -s rr", "$ -a -t 203.0.113.100:81 -r 10.1.0.11:8080 -m",
		"$ -A -u 203.0.113.100:33434 -s rr", "$ -a -u 203.0.113.100:33434 -r 10.1.0.11:33434 -m"), compared: 12},
	{name: "icmp-nors", steps: first(web, dns), compared: 13},
	{name: "icmp-rs-dead", steps: []step{
		{"", web}, {"", "silent 10.1.0.77"}, {"", "route 172.30.0.0/16 unreachable"},
		{"", "$ -a -t 203.0.113.100:80 -r 10.1.0.77:8080 -m"},
		{"09:05:57.640", "fail private 10.1.0.77"}, // after three probes
		{"09:05:57.660", "$ -d -t 203.0.113.100:80 -r 10.1.0.77:8080"},
		{"09:05:57.660", "$ -a -t 203.0.113.100:80 -r 172.30.0.1:8080 -m"},
	}, compared: 4},
	{name: "mtu-live", steps: []step{
		{"", "$ -A -t 203.0.113.100:81 -s rr"}, {"", "$ -a -t 203.0.113.100:81 -r 10.1.0.11:8080 -m"},
		{"", dns}, {"", "$ -a -u 203.0.113.100:53 -r 10.1.0.11:9000 -m"},
		{"09:23:52.500", "mtu 10.1.0.0/24 1200"},
	}, compared: 74},
	{name: "delete-rs-expire_nodest_conn-0", steps: []step{
		{"", web}, {"", "$ -a -t 203.0.113.100:80 -r 10.1.0.11:8080 -m"}, {"", "$ -a -t 203.0.113.100:80 -r 10.1.0.12:8080 -m"},
		{"09:01:43.200", "$ -d -t 203.0.113.100:80 -r 10.1.0.12:8080"},
		{"09:01:48.000", "$ -a -t 203.0.113.100:80 -r 10.1.0.12:8080 -m"},
	}, compared: 39},
	{name: "delete-rs-expire_nodest_conn-1", steps: []step{
		{"", web}, {"", "$ -a -t 203.0.113.100:80 -r 10.1.0.11:8080 -m"}, {"", "$ -a -t 203.0.113.100:80 -r 10.1.0.12:8080 -m"},
		{"", "$ sysctl expire_nodest_conn=1"},
		{"09:02:18.500", "$ -d -t 203.0.113.100:80 -r 10.1.0.12:8080"},
		{"09:02:25.000", "$ -a -t 203.0.113.100:80 -r 10.1.0.12:8080 -m"},
	}, compared: 26},
	{name: "quiesce-weight0", steps: []step{
		{"", web}, {"", "$ -a -t 203.0.113.100:80 -r 10.1.0.11:8080 -m"}, {"", "$ -a -t 203.0.113.100:80 -r 10.1.0.12:8080 -m"},
		{"09:01:40.200", "$ -e -t 203.0.113.100:80 -r 10.1.0.12:8080 -m -w 0"},
		{"09:01:40.345", "$ -e -t 203.0.113.100:80 -r 10.1.0.12:8080 -m -w 1"},
	}, compared: 84},
	{name: "v6-vectors", steps: []step{
		{"", "$ -A -t [2001:db8:1::100]:80 -s rr"}, {"", "$ -a -t [2001:db8:1::100]:80 -r [fd00:1::61]:8080 -m"},
		{"", "$ -A -u [2001:db8:1::100]:53 -s rr"}, {"", "$ -a -u [2001:db8:1::100]:53 -r [fd00:1::61]:5353 -m"},
		{"09:17:17.000", "$ -d -t [2001:db8:1::100]:80 -r [fd00:1::61]:8080"},
		{"09:17:17.000", "$ -d -u [2001:db8:1::100]:53 -r [fd00:1::61]:5353"},
	}, compared: 22},
}

var oracle = topology{
	nics: 2,
	links: []Link{
		{Name: "public", NIC: 0, MAC: MAC{2, 0, 0, 0, 0, 0xd1}, MTU: 1500, Addr4: addrOf("203.0.113.2"), Addr6: addrOf("2001:db8:1::2")},
		{Name: "private", NIC: 1, MAC: MAC{2, 0, 0, 0, 0, 0xd2}, MTU: 1500, Addr4: addrOf("10.1.0.1"), Addr6: addrOf("fd00:1::1")},
	},
	own: []string{"203.0.113.2", "203.0.113.100", "10.1.0.1", "2001:db8:1::2", "2001:db8:1::100", "fd00:1::1"},
	routes: []string{
		"198.51.100.0/24 public via 203.0.113.254", "203.0.113.0/24 public", "10.1.0.0/24 private",
		"2001:db8:1::/64 public", "fd00:1::/64 private",
	},
	neighbour: func(a netip.Addr) MAC {
		last := a.As16()[15]
		switch {
		case strings.HasSuffix(a.String(), ".254") || strings.HasSuffix(a.String(), ":254"):
			return MAC{2, 0, 0, 0, 0, 0xf0}
		case strings.HasPrefix(a.String(), "10.1.0.1"):
			return MAC{2, 0, 0, 0, 0, last - 11 + 0x11}
		case strings.HasPrefix(a.String(), "10.1.") || strings.HasPrefix(a.String(), "fd00"):
			return MAC{2, 0, 0, 0, 0, 0x11}
		}
		return MAC{2, 0, 0, 0, 0, 0xc1}
	},
}

func TestTheDirectorSendsWhatIPVSSent(t *testing.T) {
	for i := range recordings {
		t.Run(recordings[i].name, func(t *testing.T) { recordings[i].replay(t, 1) })
	}
}

// taped is a frame of a recording.
type taped struct {
	at    time.Time
	nic   int
	frame []byte
}

func (x taped) clock() string { return x.at.UTC().Format("15:04:05.000") }

func (r *recording) tape(t *testing.T) (all []taped) {
	t.Helper()
	for n, side := range []string{"pub0", "prv0"} {
		file, err := os.Open("testdata/ipvs/" + r.name + "." + side + ".pcap.gz")
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		in, err := pcapgo.NewReader(z)
		if err != nil {
			t.Fatal(err)
		}
		for {
			frame, info, err := in.ReadPacketData()
			if err != nil {
				break
			}
			all = append(all, taped{info.Timestamp, n, frame})
		}
		_ = file.Close()
	}
	all = slices.DeleteFunc(all, func(x taped) bool { return r.until != "" && x.clock() > r.until })
	slices.SortStableFunc(all, func(a, b taped) int { return a.at.Compare(b.at) })
	return all
}

func (r *recording) replay(t *testing.T, workers int) {
	tape := r.tape(t)
	s := &script{t: t, names: map[string]int{}, top: oracle}
	s.sizes = sizes{conns: 1000, frames: 512 * workers, ring: 256, workers: workers, deviations: new(service.Deviations)}
	s.world = newWorld(t, s.top, s.sizes)
	var want, got [2][][]byte
	var risen [][]byte
	steps := r.steps
	collect := func() {
		for n := range got {
			got[n] = append(got[n], s.sent[n]...)
			s.sent[n] = nil
		}
		for _, u := range s.up.frames {
			risen = append(risen, u.frame)
		}
		s.up.frames = nil
	}
	base := s.now - Time(tape[0].at.UnixNano())
	for _, x := range tape {
		for ; len(steps) > 0 && x.clock() >= steps[0].at; steps = steps[1:] {
			collect()
			s.text = steps[0].do
			s.step(strings.Fields(steps[0].do))
		}
		for at := base + Time(x.at.UnixNano()); s.now < at; {
			s.now = min(at, s.now+Second/10)
			s.run(t)
		}
		switch mac := MAC(x.frame[6:12]); {
		case mac == oracle.links[0].MAC || mac == oracle.links[1].MAC:
			want[x.nic] = append(want[x.nic], x.frame)
		case x.frame[0]&1 == 0 && etherType(x.frame) != 0x806:
			if !s.arrive(x.nic, x.frame) {
				t.Fatal("not taken")
			}
			s.run(t)
		}
		collect()
	}
	s.advance([]string{"10s"})
	collect()
	r.compare(t, want, got, risen)
}

func etherType(frame []byte) uint16 { return binary.BigEndian.Uint16(frame[12:]) }

// compare wants got to be want, but for what the kernel sent itself because of
// frames that were passed up to it.
func (r *recording) compare(t *testing.T, want, got [2][][]byte, risen [][]byte) {
	compared := 0
	for n := range want {
		mine := slices.DeleteFunc(want[n], func(frame []byte) bool { return ofTheKernel(frame, risen) })
		for len(got[n]) > 0 || len(mine) > 0 {
			if len(got[n]) == 0 || len(mine) == 0 {
				t.Fatalf("NIC %d: %d frames too many, %d too few\n%s\n%s", n, len(got[n]), len(mine), dissectFirst(got[n]), dissectFirst(mine))
			}
			g, w := canonical(got[n][0]), canonical(mine[0])
			if !bytes.Equal(g, w) {
				t.Fatalf("NIC %d, frame %d: got\n%swant\n%s", n, compared, dissect(g), dissect(w))
			}
			compared++
			got[n], mine = got[n][1:], mine[1:]
		}
	}
	if compared != r.compared {
		t.Errorf("compared %d frames, want %d", compared, r.compared)
	}
}

func dissectFirst(frames [][]byte) string {
	if len(frames) == 0 {
		return ""
	}
	return dissect(frames[0])
}

// canonical returns a copy of frame without what Linux chooses freely: the
// identification of its own ICMP errors (told by their TTL), IPv6 flow labels
// of its own and identifications of IPv6 fragments, and without padding.
func canonical(frame []byte) []byte {
	var p packet.Packet
	if packet.Parse(bytes.Clone(frame), &p) != packet.OK {
		return frame
	}
	b := p.Data[p.L3:]
	switch {
	case p.V6 && p.FragHeader != 0:
		clear(p.Data[p.FragHeader+4 : p.FragHeader+8])
	case p.V6 && p.TTL == 64:
		b[1] &= 0xf0
		b[2], b[3] = 0, 0
	case p.IsError && p.TTL == 64:
		clear(b[4:6])
		clear(b[10:12])
	}
	return p.Data
}

// ofTheKernel tells what the director's own stack sent: ARP, neighbour
// discovery, and what it made of a frame that was passed up.
func ofTheKernel(frame []byte, risen [][]byte) bool {
	var out packet.Packet
	if packet.Parse(bytes.Clone(frame), &out) != packet.OK {
		return true
	}
	if out.V6 && out.Proto == protoICMPv6 && out.ICMPType >= 133 && out.ICMPType <= 136 {
		return true
	}
	return slices.ContainsFunc(risen, func(up []byte) bool {
		var in packet.Packet
		return packet.Parse(bytes.Clone(up), &in) == packet.OK && follows(&out, &in)
	})
}

// follows reports whether a host that got in sent out: an error about it, a
// reset, an echo, or itself as a router does.
func follows(out, in *packet.Packet) bool {
	whole := in.Data[in.L3:]
	switch {
	case out.IsError && out.TTL == 64:
		q := out.Quote.Flow()
		return q == in.Flow() && bytes.HasPrefix(in.Data[in.L4:], out.Data[out.Quote.L4:]) || in.Fragment && q.Src.Addr == in.Src && q.Dst.Addr == in.Dst
	case out.TCPFlags&packet.RST != 0 && out.TTL == 64:
		return out.Flow() == in.Flow().Reverse()
	case out.Proto == protoICMP && out.ICMPType == 0 || out.Proto == protoICMPv6 && out.ICMPType == 129:
		return in.Proto == out.Proto && in.Src == out.Dst && in.Dst == out.Src
	}
	in.Forward()
	return bytes.Equal(whole, out.Data[out.L3:])
}
