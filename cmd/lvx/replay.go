package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// A replay is a director on one NIC whose network is what the capture shows:
// every address has the MAC address that it sent from, unseen ones get
// strangerMAC.
var strangerMAC = dataplane.MAC{0x02, 0, 0, 0, 0, 0x01}

const (
	replayChunks = 4096
	replayConns  = 1 << 16
	replayStep   = 100 * time.Millisecond
)

// replayOptions say what a replay is made of.
type replayOptions struct {
	rules, marks string
	in, out      string
	ftp          ports
	deviating    deviating
}

func runReplay(_ context.Context, args []string, std stdio) int {
	f := optionsOf("replay", std)
	var o replayOptions
	f.StringVar(&o.rules, "rules", "", "rules, a `FILE` as lvx save or ipvsadm -S writes it")
	f.StringVar(&o.marks, "marks", "", "mark rules, a `FILE` as lvx mark list writes it")
	o.ftp.define(f)
	o.deviating.define(f)
	if code, ok := f.parse(args, 2); !ok {
		return code
	}
	if o.in, o.out = f.Arg(0), f.Arg(1); o.out == "" || o.rules == "" {
		return f.refuse("give --rules FILE and the captures IN.pcap and OUT.pcap")
	}
	if err := replay(&o, std); err != nil {
		return fail(std, err)
	}
	return exitOK
}

func replay(o *replayOptions, std stdio) error {
	deviations, err := o.deviating.chosen()
	if err != nil {
		return err
	}
	set, err := configured(o.rules, o.marks)
	if err != nil {
		return err
	}
	seen, err := learn(o.in, set)
	if err != nil {
		return err
	}
	source, err := os.Open(o.in)
	if err != nil {
		return err
	}
	defer source.Close()
	if same(o.in, o.out) {
		return fmt.Errorf("write %s: it is the capture that is read", o.out)
	}
	sink, err := os.Create(o.out)
	if err != nil {
		return err
	}
	defer sink.Close()
	pool := nic.NewPool(replayChunks, 65536)
	capture, err := nic.NewPcap(pool, source, sink)
	if err != nil {
		return fmt.Errorf("read %s: %w", o.in, err)
	}
	// An answer comes after its request was sent, never in one batch with it.
	capture.Span = time.Nanosecond
	queue := &arrivals{Pcap: capture, pool: pool, own: seen.own}
	roster, err := replayRoster(set, seen, o.ftp, deviations)
	if err != nil {
		return err
	}
	w, err := replayWorker(pool, queue, roster, seen)
	if err != nil {
		return err
	}
	play(w, queue, seen)
	if err := queue.Close(); err != nil {
		return err
	}
	report(std, w, deviations, queue.skipped)
	return sink.Close()
}

// configured reads what the director of a replay is to do.
func configured(rules, marks string) (*service.Set, error) {
	edits, err := readMarks(marks)
	if err != nil {
		return nil, err
	}
	services, err := readRules(rules)
	if err != nil {
		return nil, err
	}
	set := service.NewSet(dataplane.Features)
	for _, e := range append(edits, services...) {
		if err := set.Apply(e); err != nil {
			return nil, fmt.Errorf("apply rules: %w", err)
		}
	}
	return set, nil
}

// same tells whether two paths lead to one file.
func same(in, out string) bool {
	a, err := os.Stat(in)
	if err != nil {
		return false
	}
	b, err := os.Stat(out)
	return err == nil && os.SameFile(a, b)
}

// scene is what a capture tells of its network.
type scene struct {
	director dataplane.MAC          // where frames to VIPs go
	own      map[dataplane.MAC]bool // of the director: frames from these it has sent
	hosts    map[packet.Addr]dataplane.MAC
	hops     *dataplane.Hops
}

// learn reads a capture for its MAC addresses: first which are the director's,
// then those of all others.
func learn(in string, set *service.Set) (*scene, error) {
	s := &scene{own: map[dataplane.MAC]bool{}, hosts: map[packet.Addr]dataplane.MAC{}, hops: dataplane.NewHops()}
	virtual, real := map[packet.Addr]bool{}, map[packet.Endpoint]bool{}
	for _, v := range set.Services() {
		if v.Mark == 0 {
			virtual[packet.AddrFrom(v.Key.Address.Addr())] = true
		}
		for _, srv := range v.Servers {
			real[packet.EndpointFrom(srv.Address)] = true
		}
	}
	calls := func(p *packet.Packet) bool {
		to := packet.Endpoint{Addr: p.Dst, Port: p.DstPort}.Netip()
		return virtual[p.Dst] || slices.ContainsFunc(set.Marks(), func(r service.MarkRule) bool {
			return p.HasPorts && r.Takes(service.Protocol(p.Proto), to)
		})
	}
	err := eachPacket(in, func(p *packet.Packet, to, _ dataplane.MAC) {
		if calls(p) {
			s.director = to
		}
		if calls(p) || p.HasPorts && real[packet.Endpoint{Addr: p.Src, Port: p.SrcPort}] {
			s.own[to] = true
		}
	})
	if err != nil {
		return nil, err
	}
	return s, eachPacket(in, func(p *packet.Packet, _, from dataplane.MAC) {
		if !s.own[from] {
			s.hosts[p.Src] = from
		}
	})
}

// eachPacket reads a capture.
func eachPacket(in string, do func(p *packet.Packet, to, from dataplane.MAC)) error {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer f.Close()
	pool := nic.NewPool(64, 65536)
	q, err := nic.NewPcap(pool, f, nil)
	if err != nil {
		return fmt.Errorf("read %s: %w", in, err)
	}
	for i := range pool.Chunks() {
		q.Fill([]uint64{uint64(i) * uint64(pool.Chunk)})
	}
	var frames [64]nic.Frame
	var p packet.Packet
	for n := q.Receive(frames[:]); n > 0; n = q.Receive(frames[:]) {
		for _, x := range frames[:n] {
			if data := pool.Data(x); packet.Parse(data, &p) == packet.OK {
				do(&p, dataplane.MAC(data[:6]), dataplane.MAC(data[6:12]))
			}
			q.Fill([]uint64{x.Addr})
		}
	}
	return q.Close()
}

// arrivals are the frames of a capture that somebody else sent: one taken at
// the director holds what it transmitted as well.
type arrivals struct {
	*nic.Pcap
	pool    *nic.Pool
	own     map[dataplane.MAC]bool
	skipped int
}

// Receive implements nic.Queue.
func (a *arrivals) Receive(frames []nic.Frame) int {
	kept := 0
	for _, f := range frames[:a.Pcap.Receive(frames)] {
		if data := a.pool.Data(f); len(data) >= 12 && a.own[dataplane.MAC(data[6:12])] {
			a.skipped++
			a.Fill([]uint64{f.Addr})
			continue
		}
		frames[kept] = f
		kept++
	}
	return kept
}

// Next implements dataplane.Routes: everything is on the one link.
func (s *scene) Next(dst, _ packet.Addr, _ dataplane.LinkID, _ uint32) (dataplane.Next, bool) {
	return dataplane.Next{Via: dst, MTU: 1500}, true
}

// PassUp implements dataplane.Upward: the frame is counted and no more.
func (s *scene) PassUp(dataplane.Time, int, []byte, bool) bool { return true }

// resolve answers for every hop that the worker asked for.
func (s *scene) resolve() {
	s.hops.Each(func(link dataplane.LinkID, addr packet.Addr, state dataplane.HopState, _ uint32) {
		if state != dataplane.HopWanted {
			return
		}
		mac, ok := s.hosts[addr]
		if !ok {
			mac = strangerMAC
		}
		s.hops.Set(link, addr, dataplane.HopUsable, mac)
	})
}

// replayRoster prepares what the worker of a replay is to know.
func replayRoster(set *service.Set, s *scene, ftp ports, deviations service.Deviations) (*dataplane.Roster, error) {
	roster, err := dataplane.NewRoster([]dataplane.Link{{Name: "replay", MAC: s.director, MTU: 1500, Partial: true}})
	if err != nil {
		return nil, err
	}
	roster.Deviate(deviations)
	roster.HelpFTP(ftp, nil)
	marks := slices.Clone(set.Marks())
	for i := range marks {
		marks[i].NIC = "" // there is one, of another name
	}
	roster.SetMarks(marks)
	if err := roster.Apply(set); err != nil {
		return nil, err
	}
	roster.Publish()
	for _, srv := range roster.Servers() {
		srv.SetLinks(1)
	}
	return roster, nil
}

func replayWorker(pool *nic.Pool, q nic.Queue, roster *dataplane.Roster, s *scene) (*dataplane.Worker, error) {
	table, err := conntrack.New(conntrack.Config{Capacity: replayConns, Seed: 1, Timeouts: conntrack.DefaultTimeouts()})
	if err != nil {
		return nil, err
	}
	chunks := make([]uint64, pool.Chunks())
	for i := range chunks {
		chunks[i] = uint64(i) * uint64(pool.Chunk)
	}
	w, err := dataplane.NewWorker(dataplane.Setup{
		Pool: pool, Chunks: chunks, NICs: []dataplane.Queues{{q}}, Fill: replayChunks / 4,
		Table: table, Hops: s.hops, Routes: s, Upward: s, Seed: 1,
	})
	if err != nil {
		return nil, err
	}
	w.Adopt(roster.Config(), make([]dataplane.Stat, roster.Slots()))
	return w, nil
}

// play runs the worker through the capture, in the time of its packets.
func play(w *dataplane.Worker, q *arrivals, s *scene) {
	at, _ := q.Next()
	now := at
	begin := at.Add(-time.Second)
	w.Round(dataplane.Time(now.Sub(begin))) // fills the queue
	for {
		next, ok := q.Next()
		if !ok {
			break
		}
		for ; next.Sub(now) > replayStep; now = now.Add(replayStep) {
			w.Round(dataplane.Time(now.Sub(begin)))
		}
		now = next
		w.Round(dataplane.Time(now.Sub(begin)))
		s.resolve()
	}
	w.Round(dataplane.Time(now.Sub(begin)))
}

// report prints what became of the frames and the connections that are left.
func report(std stdio, w *dataplane.Worker, deviations service.Deviations, skipped int) {
	info := admin.Info{Version: version(), Deviations: deviations, TableSize: replayConns, Conns: w.Table().Len(), Counters: map[string]uint64{}}
	w.Counters.Each(w.Held(), func(name string, n uint64) { info.Counters[name] = n })
	printInfo(std.out, info)
	if skipped > 0 {
		fmt.Fprintf(std.out, "skipped %d frames that the director itself had sent\n", skipped)
	}
}
