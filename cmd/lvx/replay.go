package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
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

func runReplay(_ context.Context, args []string, std stdio) int {
	f := flag.NewFlagSet("lvx replay", flag.ContinueOnError)
	f.SetOutput(std.err)
	rules := f.String("rules", "", "services, a `FILE` as ipvsadm -S writes it")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if f.NArg() != 2 || *rules == "" {
		fmt.Fprintln(std.err, "lvx replay: usage: lvx replay --rules FILE IN.pcap OUT.pcap")
		return exitUsage
	}
	if err := replay(*rules, f.Arg(0), f.Arg(1), std); err != nil {
		return fail(std, err)
	}
	return exitOK
}

func replay(rules, in, out string, std stdio) error {
	edits, err := readRules(rules)
	if err != nil {
		return err
	}
	set := service.NewSet(dataplane.Features)
	for _, e := range edits {
		if err := set.Apply(e); err != nil {
			return fmt.Errorf("apply rules: %w", err)
		}
	}
	seen, err := learn(in, set)
	if err != nil {
		return err
	}
	source, err := os.Open(in)
	if err != nil {
		return err
	}
	defer source.Close()
	sink, err := os.Create(out)
	if err != nil {
		return err
	}
	defer sink.Close()
	pool := nic.NewPool(replayChunks, 65536)
	queue, err := nic.NewPcap(pool, source, sink)
	if err != nil {
		return fmt.Errorf("read %s: %w", in, err)
	}
	queue.Span = replayStep
	w, err := replayWorker(pool, queue, set, seen)
	if err != nil {
		return err
	}
	play(w, queue, seen)
	if err := queue.Close(); err != nil {
		return err
	}
	report(std, w, set)
	return sink.Close()
}

// scene is what a capture tells of its network.
type scene struct {
	director dataplane.MAC
	hosts    map[packet.Addr]dataplane.MAC
	hops     *dataplane.Hops
}

// learn reads a capture once for its MAC addresses.
func learn(in string, set *service.Set) (*scene, error) {
	f, err := os.Open(in)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	pool := nic.NewPool(64, 65536)
	q, err := nic.NewPcap(pool, f, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", in, err)
	}
	s := &scene{hosts: map[packet.Addr]dataplane.MAC{}, hops: dataplane.NewHops()}
	vips := map[packet.Addr]bool{}
	for _, v := range set.Services() {
		vips[packet.AddrFrom(v.Key.Address.Addr())] = true
	}
	var frames [64]nic.Frame
	var p packet.Packet
	for i := range pool.Chunks() {
		q.Fill([]uint64{uint64(i) * uint64(pool.Chunk)})
	}
	for n := q.Receive(frames[:]); n > 0; n = q.Receive(frames[:]) {
		for _, x := range frames[:n] {
			if data := pool.Data(x); packet.Parse(data, &p) == packet.OK {
				s.hosts[p.Src] = dataplane.MAC(data[6:12])
				if vips[p.Dst] {
					s.director = dataplane.MAC(data[:6])
				}
			}
			q.Fill([]uint64{x.Addr})
		}
	}
	return s, q.Close()
}

// Next implements dataplane.Routes: everything is on the one link.
func (s *scene) Next(dst, _ packet.Addr, in dataplane.LinkID, _ uint32) (dataplane.Next, bool) {
	return dataplane.Next{Link: in, Via: dst, MTU: 1500}, true
}

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

func replayWorker(pool *nic.Pool, q nic.Queue, set *service.Set, s *scene) (*dataplane.Worker, error) {
	roster, err := dataplane.NewRoster([]dataplane.Link{{Name: "replay", MAC: s.director, MTU: 1500, Partial: true}})
	if err != nil {
		return nil, err
	}
	if err := roster.Apply(set.Services()); err != nil {
		return nil, err
	}
	roster.Publish()
	for _, srv := range roster.Servers() {
		srv.SetLinks(1)
	}
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
		Table: table, Hops: s.hops, Routes: s, Seed: 1,
	})
	if err != nil {
		return nil, err
	}
	w.Adopt(roster.Config(), make([]dataplane.Stat, roster.Slots()))
	return w, nil
}

// play runs the worker through the capture, in the time of its packets.
func play(w *dataplane.Worker, q *nic.Pcap, s *scene) {
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
func report(std stdio, w *dataplane.Worker, set *service.Set) {
	info := admin.Info{Version: version(), Mode: "replay", TableSize: replayConns, Conns: w.Table().Len(), Counters: map[string]uint64{}}
	w.Counters.Each(w.Held(), func(name string, n uint64) { info.Counters[name] = n })
	printInfo(std.out, info)
}
