package dataplane

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// TestScripts runs testdata/TOPOLOGY/*.txt; testdata/README.md describes them.
func TestScripts(t *testing.T) { eachScript(t, runScript) }

func eachScript(t *testing.T, run func(t *testing.T, top topology, text string)) {
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "testdata/"), ".txt")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			run(t, topologies[filepath.Dir(name)], string(text))
		})
	}
}

// script is one on its way.
type script struct {
	*world
	t     *testing.T
	line  int
	text  string
	names map[string]int // what $NAME stood for
	last  risen          // injected last
	in    []risen        // all that was injected
	out   []risen        // all that left
	sizes sizes
	top   topology
}

func runScript(t *testing.T, top topology, text string) {
	playScript(t, top, text, sizes{conns: 1000, frames: 256, ring: 256})
}

func playScript(t *testing.T, top topology, text string, z sizes) {
	s := &script{t: t, names: map[string]int{}, top: top, sizes: z}
	defer s.keep()
	s.play(slices.Collect(strings.Lines(text)), 1, strings.NewReplacer())
	s.text = "end of script"
	s.idle()
}

// play takes the steps of lines, the first of which has the number from. What
// stands between each NAME FIRST LAST and end is taken for every number, in
// the place of {NAME}.
func (s *script) play(lines []string, from int, names *strings.Replacer) {
	for i := 0; i < len(lines); i++ {
		line, _, _ := strings.Cut(lines[i], "#")
		s.line, s.text = from+i, strings.TrimSpace(names.Replace(line))
		words := strings.Fields(s.text)
		switch {
		case len(words) == 0:
		case words[0] == "each":
			first, _ := strconv.Atoi(words[2])
			last, _ := strconv.Atoi(words[3])
			n := slices.IndexFunc(lines[i:], func(l string) bool { return strings.TrimSpace(l) == "end" })
			for ; first <= last; first++ {
				s.play(lines[i+1:i+n], from+i+1, strings.NewReplacer("{"+words[1]+"}", strconv.Itoa(first)))
			}
			i += n
		default:
			s.step(words)
		}
	}
}

func (s *script) failf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("line %d: %s\n%s", s.line, s.text, fmt.Sprintf(format, args...))
}

func (s *script) step(words []string) {
	defer func() {
		if r := recover(); r != nil {
			if text, ok := r.(string); ok {
				s.failf("%s", text)
			}
			panic(r)
		}
	}()
	if s.world == nil && words[0] != "size" && words[0] != "strict" && words[0] != "deviate" {
		s.world = newWorld(s.t, s.top, s.sizes)
	}
	verb, args := words[0], words[1:]
	steps := map[string]func([]string){
		"size": s.size, "strict": s.strictly, "deviate": s.deviate, "$": s.edit, "advance": s.advance, "counters": s.counters, "conns": s.conns, "conn": s.conn,
		"server": s.server, "silent": s.silence, "arp": s.arp, "fail": s.fail, "route": s.reroute, "mtu": s.mtu,
		"partial": s.partial, "down": s.down, "up": s.upAgain, "upward": s.upwards,
		"expected": s.expected, "expectations": s.expectations, "awaited": s.awaits,
		"template": s.template, "sever": s.sever, "templates": s.templates,
	}
	if f, ok := steps[verb]; ok {
		s.idle()
		f(args)
		return
	}
	l := s.link(verb)
	switch args[0] {
	case "in":
		s.idle()
		s.inject(l, args[1:])
		s.run(s.t)
	case "in+": // together with the next
		s.idle()
		s.inject(l, args[1:])
		s.stay = true
	case "out":
		s.leaves(l, args[1:])
	case "up":
		s.rises(l, args[1:])
	default:
		s.failf("a link goes in, in+, out or up")
	}
}

// idle fails if anything left that no line told.
func (s *script) idle() {
	s.t.Helper()
	if s.world == nil {
		return
	}
	for n, sent := range s.sent {
		if len(sent) > 0 {
			s.failf("NIC %d sent before, and no line says so:\n%s", n, dissect(sent[0]))
		}
	}
	if len(s.up.frames) > 0 {
		s.failf("passed up before, and no line says so:\n%s", dissect(s.up.frames[0].frame))
	}
}

func (s *script) link(name string) LinkID {
	i := slices.IndexFunc(s.links, func(l Link) bool { return l.Name == name })
	if i < 0 {
		s.failf("%q is neither a step nor a link", name)
	}
	return LinkID(i)
}

// frame returns the bytes of a symbol on link l, between us and the neighbour
// that the far address is reached by.
func (s *script) frame(l LinkID, sym *symbol, ttl int, outward bool) []byte {
	far := sym.src.Addr()
	if outward {
		far = sym.dst.Addr()
	}
	neighbour := far
	if next, ok := s.routes.Next(addrOf(far.String()), addrOf("::"), 0, 0); ok && next.Link == l {
		neighbour = next.Via.Netip()
	}
	if via, ok := sym.attr["via"]; ok {
		neighbour = netip.MustParseAddr(via)
	}
	dst, src := s.links[l].MAC, macOf(neighbour)
	if outward {
		dst, src = src, dst
	}
	tags := slices.Clone(s.links[l].Tags[:s.links[l].NTags])
	if text, ok := sym.attr["tags"]; ok {
		tags = nil
		for tag := range strings.SplitSeq(text, ",") {
			n, _ := strconv.Atoi(tag)
			tags = append(tags, uint16(n))
		}
	}
	frame := ethernet(dst, src, tags, sym.v6(), sym.datagram(ttl))
	return append(frame, make([]byte, sym.number("pad", 0))...)
}

var portName = regexp.MustCompile(`:\$\w+`)

func (s *script) symbol(words []string) *symbol {
	words = slices.Clone(words)
	for i, word := range words {
		words[i] = portName.ReplaceAllStringFunc(word, func(name string) string { return fmt.Sprint(":", s.names[name[1:]]) })
	}
	sym, err := parseSymbol(words)
	if err != nil {
		s.failf("%v", err)
	}
	return sym
}

func (s *script) inject(l LinkID, words []string) {
	sym := s.symbol(words)
	frame := s.frame(l, sym, 64, false)
	s.last = risen{s.links[l].NIC, frame, s.links[l].Partial}
	s.in = append(s.in, s.last)
	if !s.arrive(s.last.nic, frame) {
		s.failf("the NIC did not take it: %+v", s.nics[s.last.nic].Stats())
	}
}

func (s *script) leaves(l LinkID, words []string) {
	n := s.links[l].NIC
	if len(s.sent[n]) == 0 {
		s.failf("nothing left on NIC %d; %s", n, s.dropped())
	}
	got := s.sent[n][0]
	s.sent[n] = s.sent[n][1:]
	s.out = append(s.out, risen{n, got, false})
	s.bindPort(words[0], got)
	sym := s.symbol(words)
	s.bind(l, sym, got)
	s.compare(got, s.frame(l, sym, 63, true))
}

// bind gives id=$NAME the value that the frame has, when it is seen first.
func (s *script) bind(l LinkID, sym *symbol, got []byte) {
	name, ok := sym.attr["id"]
	if !ok || name[0] != '$' {
		return
	}
	if _, known := s.names[name]; !known {
		ip := got[min(len(got), 14+4*int(s.links[l].NTags)):]
		switch {
		case sym.v6() && len(ip) >= 56:
			if sym.has("hbh") {
				ip = ip[8:]
			}
			s.names[name] = int(binary.BigEndian.Uint32(ip[44:]))
		case len(ip) >= 20:
			s.names[name] = int(binary.BigEndian.Uint16(ip[4:]))
		}
	}
	sym.attr["id"] = strconv.Itoa(s.names[name])
}

// bindPort gives ADDR:$NAME the source port that got has, when it is seen first:
// another one than that of the frame that came in.
func (s *script) bindPort(word string, got []byte) {
	_, name, ok := strings.Cut(word, ":$")
	if _, known := s.names["$"+name]; !ok || known {
		return
	}
	var in, out packet.Packet
	if packet.Parse(bytes.Clone(s.last.frame), &in) != packet.OK || packet.Parse(bytes.Clone(got), &out) != packet.OK || in.SrcPort == out.SrcPort {
		s.failf("the client has no other port:\n%s", dissect(got))
	}
	s.names["$"+name] = int(out.SrcPort)
}

func (s *script) rises(l LinkID, words []string) {
	if len(s.up.frames) == 0 {
		s.failf("nothing was passed up; %s", s.dropped())
	}
	got := s.up.frames[0]
	s.up.frames = s.up.frames[1:]
	want := s.last
	if len(words) > 0 {
		want = risen{s.links[l].NIC, s.frame(l, s.symbol(words), 64, false), s.links[l].Partial}
	}
	if got.nic != want.nic || got.partial != want.partial {
		s.failf("passed up for NIC %d, partial %v", got.nic, got.partial)
	}
	s.compare(got.frame, want.frame)
}

func (s *script) compare(got, want []byte) {
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		s.failf("differ at byte %d of %d and %d; got\n%swant\n%s%s", at, len(got), len(want), dissect(got), dissect(want), s.dropped())
	}
}

func (s *script) dropped() string {
	var list []string
	for name, n := range s.totals() {
		if strings.HasPrefix(name, "drop.") && n > 0 {
			list = append(list, fmt.Sprintf("%v=%d", name[5:], n))
		}
	}
	return fmt.Sprintf("held %d, dropped so far: %v", s.totals()["held"], list)
}

// dissect says what frame is, in few lines.
func dissect(frame []byte) string {
	var text strings.Builder
	for _, l := range gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default).Layers() {
		line := gopacket.LayerString(l)
		fmt.Fprintf(&text, "  %.300s\n", line)
	}
	return text.String() + hex.Dump(frame[:min(len(frame), 128)])
}

// keep writes what went in and out of a failed script for a closer look.
func (s *script) keep() {
	if !s.t.Failed() || s.world == nil {
		return
	}
	for n := range s.sent {
		for _, frame := range s.sent[n] {
			s.out = append(s.out, risen{n, frame, false})
		}
	}
	for name, frames := range map[string][]risen{"in": s.in, "out": s.out} {
		path := filepath.Join(os.TempDir(), "lvx-"+strings.ReplaceAll(s.t.Name(), "/", "-")+"-"+name+".pcap")
		file, err := os.Create(path)
		if err != nil {
			s.t.Log(err)
			return
		}
		w := pcapgo.NewWriter(file)
		_ = w.WriteFileHeader(65536, layers.LinkTypeEthernet)
		for i, f := range frames {
			info := gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), int64(f.nic)*1000), Length: len(f.frame), CaptureLength: len(f.frame)}
			_ = w.WritePacket(info, f.frame)
		}
		_ = file.Close()
		s.t.Logf("frames %s: %s", name, path)
	}
}

// found returns the connections of a proto, client and virtual endpoint.
func (s *script) found(words []string) (all []*conntrack.Record) {
	for _, w := range s.workers {
		table := w.Table()
		table.Walk(0, 1<<30, func(i conntrack.Index, r *conntrack.Record) {
			client, virtual := r.Client().Netip(), netip.AddrPortFrom(table.Virtual(i).Netip(), r.VPort)
			proto := map[uint8]string{protoTCP: "tcp", protoUDP: "udp", protoSCTP: "sctp"}[r.Proto()]
			if slices.Equal(words, []string{proto, client.String(), virtual.String()}) {
				all = append(all, r)
			}
		})
	}
	return all
}

// serverOf finds a server of a virtual endpoint, or of a firewall mark.
func (s *script) serverOf(virtual, real string) *Server {
	if mark, err := strconv.Atoi(virtual); err == nil {
		return s.roster.Find(service.Key{Mark: uint32(mark)}, netip.MustParseAddrPort(real))
	}
	for _, p := range []service.Protocol{service.TCP, service.UDP, service.SCTP} {
		key := service.Key{Protocol: p, Address: netip.MustParseAddrPort(virtual)}
		if srv := s.roster.Find(key, netip.MustParseAddrPort(real)); srv != nil {
			return srv
		}
	}
	s.failf("no such server")
	return nil
}
