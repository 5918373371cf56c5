package oracle

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

const tick = 100 * time.Millisecond

// twin is lvx in place of the kernel's IPVS, strict: a worker between two NICs in
// memory, and about it what a director does when it is given a command.
type twin struct {
	table  *conntrack.Table
	worker *dataplane.Worker
	roster *dataplane.Roster
	hops   *dataplane.Hops
	nics   [2]*nic.Memory
	set    service.Set
	now    time.Duration
	fault  *fault // planted, or one that does nothing

	timers  *timers
	socket  string        // where lvx's ipvsadm finds it
	shut    func()        // ends that, if it was begun
	expired uint64        // connections that ended before the scenario began
	up      []record.Left // passed up to the kernel since the last look
}

func newTwin(t testing.TB, f *fault) *twin {
	t.Helper()
	if f == nil {
		f = &fault{}
	}
	x := &twin{hops: dataplane.NewHops(), set: *service.NewSet(dataplane.Features), fault: &fault{}, now: time.Second, timers: newTimers()}
	pool := nic.NewPool(512, 4096)
	var err error
	if x.table, err = conntrack.New(conntrack.Config{Capacity: 600, Memory: make([]byte, conntrack.Bytes(600)), Seed: 1}); err != nil {
		t.Fatal(err)
	}
	setup := dataplane.Setup{Pool: pool, Fill: 128, Table: x.table, Hops: x.hops, Routes: routes, Upward: x, Seed: 1,
		Limits: dataplane.Limits{Fragments: 128}}
	for c := range pool.Chunks() {
		setup.Chunks = append(setup.Chunks, uint64(c)*uint64(pool.Chunk))
	}
	for n := range x.nics {
		x.nics[n] = nic.NewMemory(pool, nic.Rings{Receive: 256, Transmit: 256, Fill: 256, Completion: 256})
		setup.NICs = append(setup.NICs, dataplane.Queues{x.nics[n]})
	}
	if x.worker, err = dataplane.NewWorker(setup); err != nil {
		t.Fatal(err)
	}
	if x.roster, err = dataplane.NewRoster(links); err != nil {
		t.Fatal(err)
	}
	x.roster.Deviate(f.deviates)
	x.roster.HelpFTP([]uint16{21}, nil)
	x.roster.SetOwn(own)
	x.setTimeouts()
	x.adopt()
	x.round()
	x.meet()
	x.fault, x.expired = f, x.worker.Counters.Expired
	x.setTimeouts()
	return x
}

// close ends what goes on beside the twin. Thousands live one after the other
// in one test.
func (x *twin) close() {
	if x.shut != nil {
		x.shut()
	}
}

// epoch is when the guest's clock began, on the twin's.
const epoch = 1000 * time.Second

// meet makes neighbours known, as they are to the kernel from the start.
func (x *twin) meet() {
	from := netip.MustParseAddrPort("203.0.113.50:9")
	from6 := netip.MustParseAddrPort("[2001:db8:1::50]:9")
	for _, side := range []struct {
		service string
		from    netip.AddrPort
		servers []string
		clients []string
	}{
		{"203.0.113.100:9", from, servers4, clients4}, {"[2001:db8:1::100]:9", from6, servers6, clients6},
	} {
		virtual := netip.MustParseAddrPort(side.service)
		for _, a := range side.servers {
			real := netip.AddrPortFrom(netip.MustParseAddr(a), 9)
			x.mustLine("-A -u " + side.service + " -s rr")
			x.mustLine("-a -u " + side.service + " -r " + real.String() + " -m")
			for _, c := range append([]string{side.from.Addr().String()}, side.clients...) {
				client := netip.AddrPortFrom(netip.MustParseAddr(c), 9)
				in, out := newProbe(protoUDP, client, virtual), newProbe(protoUDP, real, client)
				_ = x.arrive(record.Public, in.frames(record.Public))
				_ = x.arrive(record.Private, out.frames(record.Private))
			}
			side.clients = nil // they are known now
			x.mustLine("-C")
			x.advance(x.now + time.Second)
		}
	}
	x.advance(epoch)
	for _, m := range x.nics {
		m.Sent()
	}
	x.up = nil
}

func (x *twin) mustLine(line string) {
	if err := x.line(strings.Fields(line)); err != nil {
		panic(err)
	}
}

// PassUp implements dataplane.Upward.
func (x *twin) PassUp(_ dataplane.Time, n int, frame []byte, _ bool) bool {
	x.up = append(x.up, record.Left{At: x.now, NIC: record.NIC(n), Frame: slices.Clone(frame)})
	return true
}

func (x *twin) adopt() {
	x.worker.Adopt(x.roster.Config(), make([]dataplane.Stat, x.roster.Slots()))
}

func (x *twin) round() bool { return x.worker.Round(dataplane.Time(x.now)) }

// run works until nothing moves; neighbours answer meanwhile.
func (x *twin) run() {
	for again := 2; again > 0; again-- {
		if x.round() {
			again = 2
		}
		select {
		case <-x.hops.Wanted():
			x.hops.Each(func(l dataplane.LinkID, a packet.Addr, s dataplane.HopState, _ uint32) {
				if s == dataplane.HopWanted && a != nobody {
					x.hops.Set(l, a, dataplane.HopUsable, macOf(a.Netip()))
				}
			})
			again = 2
		default:
		}
	}
}

// advance lets time go by, a tick at a time.
func (x *twin) advance(to time.Duration) {
	for next := x.now; x.now < to; {
		x.now = min(to, x.now+tick)
		x.run()
		if x.now >= epoch && (x.now >= next || x.now == to) {
			x.timers.observe(x)
			next = x.now + glance
		}
	}
	x.collect()
}

// collect forgets servers without connections, as a director does.
func (x *twin) collect() {
	gone := x.roster.Collect()
	for _, s := range gone {
		x.worker.Stats()[s.Slot] = dataplane.Stat{}
	}
	if len(gone) > 0 {
		x.adopt()
	}
}

// sent returns what has left since the last look.
func (x *twin) sent() (left []record.Left) {
	for n, m := range x.nics {
		for _, frame := range m.Sent() {
			if frame = x.fault.leaving(record.NIC(n), frame); frame != nil {
				left = append(left, record.Left{At: x.now, NIC: record.NIC(n), Frame: frame})
			}
		}
	}
	return left
}

// steers reports whether steering redirects packets of f's family: it does
// while the family has a service.
func (x *twin) steers(f record.Frame) bool {
	return slices.ContainsFunc(x.set.Services(), func(s service.Configured) bool {
		return s.Address.Addr().Is6() == (len(f) > 12 && f[12] == 0x86)
	})
}

// arrive brings frames.
func (x *twin) arrive(n record.NIC, frames []record.Frame) error {
	for _, f := range frames {
		if !x.steers(f) {
			x.up = append(x.up, record.Left{At: x.now, NIC: n, Frame: f})
			continue
		}
		if !x.nics[n].Inject(x.fault.arriving(x, n, f)) {
			return fmt.Errorf("the NIC did not take a frame: %+v", x.nics[n].Stats())
		}
		x.run()
	}
	return nil
}

// command carries out a command line of ipvsadm, or the lines of its input.
func (x *twin) command(words []string, input string) error {
	switch words[0] {
	case "sysctl":
		return x.sysctl(words[1:])
	case "mark":
		return x.mark(words)
	}
	if len(words) != 2 || words[1] != "-R" {
		return x.line(words[1:])
	}
	var last error
	for line := range strings.Lines(input) {
		last = x.line(strings.Fields(line))
	}
	return last
}

// sysctl carries out sysctl -qw NAME=VALUE.
func (x *twin) sysctl(args []string) error {
	for _, text := range x.fault.command(args)[1:] {
		c, err := service.ParseSysctl(text)
		if err != nil {
			return err
		}
		if err := x.set.Apply(service.Edit{Op: service.SetSysctl, Sysctl: c}); err != nil {
			return err
		}
	}
	x.roster.SetSettings(x.set.Settings())
	x.adopt()
	return nil
}

// mark changes the rules by which packets are marked.
func (x *twin) mark(words []string) error {
	edit, err := (&record.Step{Command: x.fault.command(words)}).Mark()
	if err != nil {
		return err
	}
	return x.apply(edit)
}

func (x *twin) line(args []string) error {
	c, err := admin.Parse(x.fault.command(args))
	if err != nil {
		return err
	}
	return x.apply(c.Edit)
}

// apply carries out an edit as a director does.
func (x *twin) apply(e service.Edit) error {
	if err := x.set.Apply(e); err != nil {
		return err
	}
	if e.Op == service.SetTimeouts {
		x.setTimeouts()
		return nil
	}
	if err := x.roster.Apply(&x.set); err != nil {
		return err
	}
	x.roster.SetMarks(x.set.Marks())
	for _, s := range x.roster.Servers() {
		if next, ok := routes.Next(packet.AddrFrom(s.Address.Address.Addr()), packet.Addr{}, 0, 0); ok {
			s.SetLinks(1 << next.Link)
		}
	}
	x.adopt()
	x.roster.Publish()
	x.collect()
	return nil
}

func (x *twin) setTimeouts() {
	ticks := func(d time.Duration) conntrack.Tick { return conntrack.Tick(d / tick) }
	all, set := conntrack.DefaultTimeouts(), x.set.Timeouts()
	all[conntrack.Established], all[conntrack.FinWait], all[conntrack.UDP] = ticks(set.TCP), ticks(set.TCPFin), ticks(set.UDP)
	x.fault.timeouts(&all)
	x.table.SetTimeouts(all)
}

var protoNames = map[uint8]string{0: "IP", protoTCP: "TCP", protoUDP: "UDP", protoSCTP: "SCTP"}

// conns lists the connections as the comparison needs them.
func (x *twin) conns() []conn { return x.fault.conns(x.rows()) }

// rows are connections and templates as they are.
func (x *twin) rows() []conn {
	var all []conn
	now := conntrack.Tick(x.now / tick)
	x.table.Walk(0, 1<<30, func(at conntrack.Index, r *conntrack.Record) {
		if r.State == conntrack.OnePacket {
			return // an answer is awaited; it is no connection
		}
		pair := x.table.Pairs[r.Server]
		c := conn{
			proto:   protoNames[r.Proto()],
			client:  r.Client().Netip(),
			virtual: packet.Endpoint{Addr: x.table.Virtual(at), Port: r.VPort}.Netip(),
			real:    packet.Endpoint{Addr: pair.Real, Port: r.RPort}.Netip(),
			state:   r.State.String(),
			expires: int(r.Expires(now) / conntrack.Second),
			left:    time.Duration(r.Expires(now)) * tick, timeout: time.Duration(r.Timeout) * tick,
		}
		all = append(all, c)
	})
	return slices.Concat(all, x.templates(now), x.expected(now))
}

// expected lists the data connections of FTP that nobody has opened yet.
func (x *twin) expected(now conntrack.Tick) []conn {
	var all []conn
	x.roster.Expected(now, func(e dataplane.Expected) {
		client := e.Client.Netip()
		all = append(all, conn{
			proto: "TCP", client: client, virtual: e.Virtual.Netip(), real: netip.AddrPortFrom(e.Server.Address.Address.Addr(), e.RPort),
			state: conntrack.Listen.String(), awaited: client.Port() == 0, expires: int(e.Expires / conntrack.Second),
			left: time.Duration(e.Expires) * tick, timeout: time.Duration(x.table.Timeout(conntrack.Listen)) * tick,
		})
	})
	return all
}

// templates lists the clients that persistent services remember.
func (x *twin) templates(now conntrack.Tick) []conn {
	var all []conn
	x.roster.Templates().Walk(now, 0, 1<<30, func(t dataplane.Template) {
		state := "NONE"
		if t.Assured {
			state = "ASSURED"
		}
		all = append(all, conn{
			proto:   protoNames[t.Proto],
			client:  netip.AddrPortFrom(t.Client.Netip(), 0),
			virtual: netip.AddrPortFrom(t.Virtual.Netip(), t.VPort),
			real:    netip.AddrPortFrom(t.Server.Address.Address.Addr(), t.RPort),
			state:   state, expires: int(t.Expires / conntrack.Second), left: time.Duration(t.Expires) * tick,
		})
	})
	return all
}

// servers lists services and servers, in the order of /proc/net/ip_vs.
func (x *twin) servers() []server {
	var all []server
	for _, s := range x.set.Services() {
		name := fmt.Sprintf("%s %v", protoNames[uint8(s.Protocol)], s.Address)
		if s.Mark != 0 {
			name = fmt.Sprintf("FWM %d", s.Mark)
		}
		if s.Mark != 0 && s.Is6() {
			name += " of IPv6"
		}
		for i, v := range s.Servers {
			active, inactive := x.roster.Find(s.Key, v.Address).Counts()
			all = append(all, server{name, i, v.Address, v.Weight, int(active), int(inactive)})
		}
	}
	return x.fault.servers(x, all)
}

// state returns the state of the connection that frame f belongs to, and the
// direction of f; "" without one.
func (x *twin) state(f []byte) (state string, dir conntrack.Direction) {
	var p packet.Packet
	if packet.Parse(bytes.Clone(f), &p) != packet.OK || !p.HasPorts {
		return "", 0
	}
	src, dst := packet.Endpoint{Addr: p.Src, Port: p.SrcPort}, packet.Endpoint{Addr: p.Dst, Port: p.DstPort}
	if at := x.table.Find(x.table.Hash(p.Proto, src), p.Proto, src, dst, conntrack.ToServer); at != conntrack.None {
		return x.table.At(at).State.String(), conntrack.ToServer
	}
	if at := x.table.Find(x.table.Hash(p.Proto, dst), p.Proto, dst, src, conntrack.ToClient); at != conntrack.None {
		return x.table.At(at).State.String(), conntrack.ToClient
	}
	return "", 0
}
