package soak

import (
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

const (
	rate      = 100_000 // new connections a second
	speed     = 20      // the worker's clock against ours, so that TIME_WAIT is 6 s
	capacity  = 1 << 20
	endpoints = 1 << 22 // clients, each calling again after a round of all

	// leap is what time passes by at most between two rounds, in which so many
	// connections can begin: it stands still while others have the processor.
	leap = 100 * time.Microsecond
)

var (
	vip     = packet.EndpointFrom(netip.MustParseAddrPort("192.0.2.1:80"))
	outside = dataplane.Link{Name: "public", NIC: 0, MAC: dataplane.MAC{2, 0, 0, 0, 0, 1}, MTU: 1500}
	inside  = dataplane.Link{Name: "private", NIC: 1, MAC: dataplane.MAC{2, 0, 0, 0, 0, 2}, MTU: 1500}
)

// world routes 10/8 inside and the rest outside, to neighbours that are known.
type world struct {
	worker  *dataplane.Worker
	roster  *dataplane.Roster
	hops    *dataplane.Hops
	opened  uint64
	allowed uint64 // connections that may be opened by now
}

func (x *world) Next(dst, _ packet.Addr, _ dataplane.LinkID, _ uint32) (dataplane.Next, bool) {
	if dst.V4()>>24 == 10 {
		return dataplane.Next{Link: 1, Via: dst, MTU: 1500}, true
	}
	return dataplane.Next{Link: 0, Via: packet.AddrFrom4(0xc00002fe), MTU: 1500}, true
}

func (x *world) resolve() {
	x.hops.Each(func(link dataplane.LinkID, addr packet.Addr, state dataplane.HopState, _ uint32) {
		if state == dataplane.HopWanted {
			x.hops.Set(link, addr, dataplane.HopUsable, dataplane.MAC{2, 0, 0, 0, 1, 1})
		}
	})
}

func newWorld(t *testing.T) *world {
	x := &world{hops: dataplane.NewHops()}
	pool := nic.NewPool(4096, 4096)
	table, err := conntrack.New(conntrack.Config{Capacity: capacity, Seed: 1, Timeouts: conntrack.DefaultTimeouts()})
	must(t, err)
	t.Cleanup(func() { table.Close() })
	clients := &peer{pool: pool, origin: x.call, answer: func(p *peer, seen *packet.Packet) {
		switch {
		case seen.TCPFlags == packet.SYN|packet.ACK:
			p.say(back(seen, outside.MAC, packet.ACK))
			p.say(back(seen, outside.MAC, packet.FIN|packet.ACK))
		case seen.TCPFlags&packet.FIN != 0:
			p.say(back(seen, outside.MAC, packet.ACK))
		}
	}}
	servers := &peer{pool: pool, answer: func(p *peer, seen *packet.Packet) {
		switch {
		case seen.TCPFlags == packet.SYN:
			p.say(back(seen, inside.MAC, packet.SYN|packet.ACK))
		case seen.TCPFlags&packet.FIN != 0:
			p.say(back(seen, inside.MAC, packet.FIN|packet.ACK))
		}
	}}
	setup := dataplane.Setup{
		Pool: pool, Fill: 512, Table: table, Hops: x.hops, Routes: x, Seed: 1,
		NICs: []dataplane.Queues{{clients}, {servers}},
	}
	for c := range pool.Chunks() {
		setup.Chunks = append(setup.Chunks, uint64(c)*uint64(pool.Chunk))
	}
	x.worker, err = dataplane.NewWorker(setup)
	must(t, err)
	x.roster, err = dataplane.NewRoster([]dataplane.Link{outside, inside})
	must(t, err)
	x.configure(t)
	return x
}

func (x *world) configure(t *testing.T) {
	var set service.Set
	web := service.Service{Key: service.Key{Protocol: service.TCP, Address: vip.Netip()}, Scheduler: "wlc"}
	must(t, set.Apply(service.Edit{Op: service.AddService, Service: web}))
	for _, rip := range []string{"10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080"} {
		server := service.Server{Address: netip.MustParseAddrPort(rip), Weight: 1}
		must(t, set.Apply(service.Edit{Op: service.AddServer, Service: web, Server: server}))
	}
	must(t, x.roster.Apply(&set))
	for _, s := range x.roster.Servers() {
		s.SetLinks(1 << 1)
	}
	x.worker.Adopt(x.roster.Config(), make([]dataplane.Stat, x.roster.Slots()))
	x.roster.Publish()
}

// call is the first segment of the next connection, if it is time for it.
func (x *world) call() (frame, bool) {
	if x.opened >= x.allowed {
		return frame{}, false
	}
	n := uint32(x.opened % endpoints)
	x.opened++
	client := packet.Endpoint{Addr: packet.AddrFrom4(0xc6330000 | n>>6&0xffff), Port: uint16(1024 + n&63)}
	return segment(client, vip, outside.MAC, packet.SYN), true
}

func TestChurnLeavesNothingBehind(t *testing.T) {
	lasts := 2 * time.Second
	if text := os.Getenv("LVX_SOAK"); text != "" {
		var err error
		lasts, err = time.ParseDuration(text)
		must(t, err)
	}
	x := newWorld(t)
	// The first connection of each server finds its hop while its frames wait.
	for x.allowed = 1; x.allowed <= 3; x.allowed++ {
		for range 10 {
			x.worker.Round(dataplane.Second)
			x.resolve()
		}
	}
	var passed time.Duration
	now := func() dataplane.Time { return dataplane.Time(speed*passed) + dataplane.Second }
	var resident, most int
	last := time.Now()
	for warm := false; passed < lasts; {
		passed, last = passed+min(time.Since(last), leap), time.Now()
		x.allowed = 3 + uint64(passed.Seconds()*rate)
		if !x.worker.Round(now()) {
			runtime.Gosched()
		}
		x.resolve()
		most = max(most, x.worker.Table().Len())
		if !warm && passed > lasts/2 {
			warm, resident = true, residentKB(t)
		}
	}
	grown := residentKB(t) - resident
	t.Logf("%d connections in %v, at most %d at a time, %d KB resident, %+d KB in the second half", x.opened, lasts, most, resident, grown)
	if grown > resident/20+1024 {
		t.Errorf("memory grew by %d KB of %d", grown, resident)
	}
	x.end(t, now())
}

// end lets every connection expire and looks at what is left.
func (x *world) end(t *testing.T, now dataplane.Time) {
	for last := now + 1000*dataplane.Second; now < last; now += dataplane.Second / 10 {
		x.worker.Round(now)
	}
	c := &x.worker.Counters
	if n := x.worker.Table().Len(); n != 0 {
		t.Errorf("%d connections never ended", n)
	}
	if c.NewConns != x.opened || c.DroppedTotal() != 0 {
		t.Errorf("%d connections opened of %d, %d frames dropped", c.NewConns, x.opened, c.DroppedTotal())
	}
	if !c.Balanced(x.worker.Held()) {
		t.Errorf("frames do not balance: %+v", *c)
	}
	for _, s := range x.roster.Servers() {
		if active, inactive := s.Counts(); active != 0 || inactive != 0 {
			t.Errorf("server %v keeps %d active and %d inactive connections", s.Address.Address, active, inactive)
		}
	}
}

// residentKB is the resident memory of this process, garbage left out.
func residentKB(t *testing.T) int {
	runtime.GC()
	text, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			must(t, err)
			return n
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
