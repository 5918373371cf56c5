package dataplane

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/rss"
	"github.com/lvx-lb/lvx/service"
)

// topology is what a world is made of.
type topology struct {
	nics   int
	links  []Link
	own    []string // addresses of the director
	routes []string // PREFIX LINK [via ADDR] [mtu N], or PREFIX unreachable

	neighbour func(netip.Addr) MAC // nil: macOf
}

func macOf(a netip.Addr) MAC {
	b := a.AsSlice()
	return MAC{0x0a, byte(len(b)), b[len(b)-4], b[len(b)-3], b[len(b)-2], b[len(b)-1]}
}

func addrOf(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

func link(name string, nic int, mac byte, addr4, addr6 string, tags ...uint16) Link {
	l := Link{Name: name, NIC: nic, NTags: uint8(len(tags)), MAC: MAC{2, 0, 0, 0, 0, mac}, MTU: 1500, Addr4: addrOf(addr4), Addr6: addrOf(addr6)}
	copy(l.Tags[:], tags)
	return l
}

var topologies = map[string]topology{
	"twonic": {
		nics: 2,
		links: []Link{
			link("public", 0, 1, "192.0.2.250", "2001:db8::250"),
			link("private", 1, 2, "10.0.0.1", "fd00::1"),
		},
		own: []string{"192.0.2.250", "2001:db8::250", "10.0.0.1", "fd00::1"},
		routes: []string{
			"0.0.0.0/0 public via 192.0.2.254", "192.0.2.0/24 public", "10.0.0.0/24 private",
			"::/0 public via 2001:db8::fe", "2001:db8::/64 public", "fd00::/64 private",
		},
	},
	"onenet": {
		nics:   1,
		links:  []Link{link("lan", 0, 1, "192.168.1.9", "fd01::9")},
		own:    []string{"192.168.1.9", "fd01::9"},
		routes: []string{"0.0.0.0/0 lan via 192.168.1.1", "192.168.1.0/24 lan", "fd01::/64 lan"},
	},
	"vlan": {
		nics: 2,
		links: []Link{
			link("public", 0, 1, "192.0.2.250", "2001:db8::250", 10),
			link("private", 0, 1, "10.0.0.1", "fd00::1", 20),
			link("double", 0, 1, "10.0.1.1", "fd01::1", 30, 5),
			link("plain", 1, 2, "10.0.2.1", "fd02::1"),
		},
		own: []string{"192.0.2.250", "10.0.0.1", "10.0.1.1", "10.0.2.1"},
		routes: []string{
			"0.0.0.0/0 public via 192.0.2.254", "192.0.2.0/24 public",
			"10.0.0.0/24 private", "10.0.1.0/24 double", "10.0.2.0/24 plain",
		},
	},
}

// world is one worker, or several, with all that surrounds them.
type world struct {
	detour bool
	topology
	pool    *nic.Pool
	ledger  *nic.Ledger
	nics    []*nic.Memory   // the first queue of each NIC
	queues  [][]*nic.Memory // all of them, by NIC and worker
	worker  *Worker         // the first one
	workers []*Worker
	crew    *Crew // of several
	turn    int   // a random number: whose queue gets the next frame
	stay    bool  // the same one as the last
	roster  *Roster
	hops    *Hops
	set     service.Set
	routes  prefixes
	silent  map[packet.Addr]bool // neighbours that do not answer
	awaited []atomic.Uint64      // by port, what steering is told of data connections
	now     Time

	sent [][][]byte // by NIC: what left and was not looked at
	up   upward
}

// sizes are what a script's first lines may choose.
type sizes struct {
	conns, frames, ring int
	templates           int // 0 = the default
	limits              Limits
	workers             int // 0 = 1
	placed              *rss.Placement
	deviations          *service.Deviations // nil = the default ones
	detour              bool                // no packet takes the shortcut
	finishes            bool                // NICs finish checksums that are left to them
}

func newWorld(t testing.TB, top topology, z sizes) *world {
	t.Helper()
	x := &world{topology: top, detour: z.detour, now: 1000 * Second, silent: map[packet.Addr]bool{}, sent: make([][][]byte, top.nics)}
	x.set = *service.NewSet(Features)
	x.links = slices.Clone(top.links)
	x.pool = nic.NewPool(z.frames, 4096)
	x.ledger = nic.NewLedger(x.pool)
	x.hops = NewHops()
	for _, r := range top.routes {
		x.routes.add(x.links, strings.Fields(r))
	}
	x.queues = make([][]*nic.Memory, top.nics)
	for i := range max(1, z.workers) {
		x.hire(t, z, i)
	}
	x.worker = x.workers[0]
	for n := range top.nics {
		x.nics = append(x.nics, x.queues[n][0])
	}
	var err error
	if len(x.workers) > 1 {
		if x.crew, err = NewCrew(x.workers, 1); err != nil {
			t.Fatal(err)
		}
		x.crew.Place(z.placed)
	}
	if x.roster, err = NewRoster(x.links); err != nil {
		t.Fatal(err)
	}
	if z.deviations != nil {
		x.roster.Deviate(*z.deviations)
	}
	if z.templates > 0 {
		x.roster.LimitTemplates(z.templates)
	}
	x.awaited = make([]atomic.Uint64, 1<<16)
	x.roster.HelpFTP([]uint16{21}, x.awaited)
	var own []packet.Addr
	for _, a := range top.own {
		own = append(own, addrOf(a))
	}
	x.roster.SetOwn(own)
	x.adopt()
	for _, w := range x.workers {
		w.Round(x.now)
	}
	return x
}

// hire makes worker i, with its share of the chunks and a queue on every NIC.
func (x *world) hire(t testing.TB, z sizes, i int) {
	t.Helper()
	table, err := conntrack.New(conntrack.Config{Capacity: z.conns, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	n := max(1, z.workers)
	setup := Setup{
		Pool: x.pool, Fill: z.frames / n / 8, Table: table, Hops: x.hops, Routes: &x.routes, Upward: &x.up, Limits: z.limits, Seed: 1,
		Finishes: func(int) bool { return z.finishes },
	}
	for c := i; c < x.pool.Chunks(); c += n {
		setup.Chunks = append(setup.Chunks, uint64(c)*uint64(x.pool.Chunk))
	}
	for k := range x.queues {
		m := nic.NewMemory(x.pool, nic.Rings{Receive: 256, Transmit: z.ring, Fill: 256, Completion: 256})
		x.queues[k] = append(x.queues[k], m)
		setup.NICs = append(setup.NICs, Queues{x.ledger.Watch(m, "nic")})
	}
	w, err := NewWorker(setup)
	if err != nil {
		t.Fatal(err)
	}
	x.workers = append(x.workers, w)
}

// arrive lets a frame arrive at any queue of a NIC.
func (x *world) arrive(nic int, frame []byte) bool {
	if !x.stay {
		x.turn = (x.turn*1103515245 + 12345) & 0x7fffffff
	}
	x.stay = false
	return x.queues[nic][x.turn>>16%len(x.workers)].Inject(frame)
}

// adopt gives the worker the newest configuration.
func (x *world) adopt() {
	c := x.roster.Config()
	c.plain = c.plain && !x.detour
	for _, w := range x.workers {
		w.Adopt(c, make([]Stat, x.roster.Slots()))
	}
}

// command carries out a command line of ipvsadm as a director does.
func (x *world) command(args []string) error {
	switch args[0] {
	case "sysctl":
		return x.sysctl(args[1:])
	case "mark":
		return x.mark(args[1], args[2:])
	}
	c, err := admin.Parse(args)
	if err != nil {
		return err
	}
	if err := x.set.Apply(c.Edit); err != nil {
		return err
	}
	if c.Edit.Op == service.SetTimeouts {
		x.setTimeouts()
		return nil
	}
	return x.apply()
}

func (x *world) setTimeouts() {
	all, set := conntrack.DefaultTimeouts(), x.set.Timeouts()
	all[conntrack.Established] = Time(set.TCP).tick()
	all[conntrack.FinWait] = Time(set.TCPFin).tick()
	all[conntrack.UDP] = Time(set.UDP).tick()
	for _, w := range x.workers {
		w.Table().SetTimeouts(all)
	}
}

func (x *world) apply() error {
	x.roster.Warm(x.now)
	if err := x.roster.Apply(&x.set); err != nil {
		return err
	}
	x.roster.SetMarks(x.set.Marks())
	for _, s := range x.roster.Servers() {
		if next, ok := x.routes.Next(s.real.Addr, packet.Addr{}, 0, 0); ok {
			s.SetLinks(1 << next.Link)
		}
	}
	x.adopt()
	x.roster.Publish()
	return nil
}

// run lets the worker look at its queues until nothing moves, and neighbours
// answer.
func (x *world) run(t testing.TB) {
	t.Helper()
	for again := 3; again > 0; again-- {
		for _, w := range x.workers {
			if w.Round(x.now) {
				again = 3
			}
		}
		x.check(t)
		x.resolve()
	}
	for n, queues := range x.queues {
		for _, m := range queues {
			x.sent[n] = append(x.sent[n], m.Sent()...)
		}
	}
}

// check compares the books: frames counted with frames held, chunks with
// places.
func (x *world) check(t testing.TB) {
	t.Helper()
	hands := x.underWay()
	for _, w := range x.workers {
		if !w.Counters.Balanced(w.Held()) {
			t.Fatalf("the frame balance is off: %d held, %+v", w.Held(), w.Counters)
		}
		if n := w.Counters.Dropped[Unexplained]; n != 0 {
			t.Fatalf("%d frames were dropped without a reason", n)
		}
		hands = append(hands, w.free, w.heldChunks())
	}
	if err := x.ledger.Check(hands...); err != nil {
		t.Fatal(err)
	}
}

// underWay returns the chunks between two workers.
func (x *world) underWay() (hands [][]uint64) {
	if x.crew == nil {
		return nil
	}
	for from := range x.workers {
		for to := range x.workers {
			var chunks []uint64
			hand, back := x.crew.hand[from][to], x.crew.back[from][to]
			for at := hand.taken.Load(); at != hand.next; at++ {
				chunks = append(chunks, hand.slots[at%uint32(len(hand.slots))].addr)
			}
			for at := back.taken.Load(); at != back.next; at++ {
				chunks = append(chunks, back.slots[at%uint32(len(back.slots))])
			}
			hands = append(hands, chunks)
		}
	}
	return hands
}

func (w *Worker) heldChunks() (chunks []uint64) {
	for _, f := range w.waiting.frames {
		chunks = append(chunks, f.frame.Addr)
	}
	for s := range w.frags.sets {
		for k := range w.frags.sets[s] {
			d := &w.frags.sets[s][k]
			for _, p := range d.pieces[:d.n] {
				chunks = append(chunks, p.frame.Addr)
			}
		}
	}
	return chunks
}

// resolve answers for every neighbour but the silent ones.
func (x *world) resolve() {
	select {
	case <-x.hops.Wanted():
	default:
		return
	}
	x.hops.Each(func(l LinkID, addr packet.Addr, state HopState, _ uint32) {
		if state == HopWanted && !x.silent[addr] {
			x.hops.Set(l, addr, HopUsable, x.macOf(addr.Netip()))
		}
	})
}

func (x *world) macOf(a netip.Addr) MAC {
	if x.neighbour != nil {
		return x.neighbour(a)
	}
	return macOf(a)
}

// upward keeps what was passed up.
type upward struct {
	full   bool
	count  bool // only count, for benchmarks
	frames []risen
}

type risen struct {
	nic     int
	frame   []byte
	partial bool
}

func (u *upward) PassUp(_ Time, nic int, frame []byte, partial bool) bool {
	if u.full {
		return false
	}
	if !u.count {
		u.frames = append(u.frames, risen{nic, slices.Clone(frame), partial})
	}
	return true
}
