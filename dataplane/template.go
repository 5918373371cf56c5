package dataplane

import (
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
)

// A template keeps a client, or a network of clients, with the server that it
// was given first. It lives on for as long as the service says after the last
// connection began, and longer in steps of a minute while it controls
// connections.
type template struct {
	templateKey
	slot       uint32 // of the server
	deadline   conntrack.Tick
	timeout    conntrack.Tick
	controls   uint32 // connections
	chain      uint32 // the next one of one home, or free
	next, prev uint32 // neighbours on the spoke
	spoke      uint16
	assured    bool // a connection was established, or answered
	void       bool // keeps nobody any more, and runs out
}

// templateKey is what templates are found by.
type templateKey struct {
	client, virtual packet.Addr
	port            uint16 // of the service, 0 = all
	proto           uint8
}

// templateKey is what the templates of a client of s, in its network, are found
// by. As with IPVS one is for all ports of the VIP if the service is of FTP,
// which opens others beside its own.
func (s *Service) templateKey(client packet.Addr) templateKey {
	port := s.virtual.Port
	if port == ftpPort {
		port = 0
	}
	return templateKey{network(client, s.spec.Netmask), s.virtual.Addr, port, s.proto}
}

const ftpPort = 21

// The flags of connections that have a template.
const (
	controlled conntrack.Flags = (conntrack.OwnFlags + 1) << iota // by the template in Worker.control
	assured                                                       // and the template knows that it was of use
)

const (
	templateStep    = 60 * conntrack.Second // by which a template in use lives on
	templateGrace   = 2                     // ticks; what ends at the same time, at any worker, ends first
	templateSpokes  = 1 << 14               // ticks; what lies beyond is visited then
	templateSweep   = 256                   // visits at a time
	templateLooks   = 64                    // for one that gives way
	templateOrphans = 1024                  // looked at in a round
)

// Templates are those of all services, shared by all workers and touched only
// when a connection begins, is established or ends. Numbers begin at 1; 0 is
// none.
type Templates struct {
	swept atomic.Uint32 // tick up to which nothing is due

	mu      sync.Mutex
	servers []*Server // by slot
	slots   []template
	homes   []uint32
	spokes  []uint32
	seed    uint64
	free    uint32
	used    int // slots that were ever used
	count   int
	next    conntrack.Tick // the first one not swept
	hand    int            // where the search for one that gives way goes on
}

func newTemplates(capacity int) *Templates {
	return &Templates{
		slots: make([]template, capacity), homes: make([]uint32, 1<<bits.Len(uint(max(1, capacity-1)))),
		spokes: make([]uint32, templateSpokes), seed: rand.Uint64(),
	}
}

func (t *Templates) at(n uint32) *template { return &t.slots[n-1] }

func (t *Templates) home(k *templateKey) *uint32 {
	hi, lo := bits.Mul64(k.client.Hi<<1^k.client.Lo^t.seed, 0x9e3779b97f4a7c15^k.virtual.Lo)
	hi, lo = bits.Mul64(hi^lo^t.seed, uint64(k.port)<<32^uint64(k.proto)<<16^k.virtual.Hi^0xbf58476d1ce4e5b9)
	return &t.homes[(hi^lo)&uint64(len(t.homes)-1)]
}

// know tells of the servers of all slots, before anybody chooses among them.
func (t *Templates) know(servers []*Server) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.servers = servers
}

// find returns the template that keeps a client, if its server is still there.
func (t *Templates) find(k *templateKey, now conntrack.Tick) uint32 {
	for n := *t.home(k); n != 0; n = t.at(n).chain {
		x := t.at(n)
		if x.templateKey != *k {
			continue
		}
		if t.outlived(x, now) {
			t.drop(n)
			return 0
		}
		if s := t.servers[x.slot]; s.deleted.Load() || s.severed.Load() {
			t.annul(n)
			return 0
		}
		return n
	}
	return 0
}

// annul has template n keep nobody any more: it only runs out.
func (t *Templates) annul(n uint32) {
	t.unhash(n)
	t.at(n).void = true
}

// insert makes a template, 0 if there is no room for it.
func (t *Templates) insert(k *templateKey, s *Server, timeout, now conntrack.Tick) uint32 {
	if t.count == 0 {
		t.next = now
	}
	n := t.room(now)
	if n == 0 {
		return 0
	}
	home := t.home(k)
	x := t.at(n)
	*x = template{templateKey: *k, slot: s.Slot, timeout: timeout, deadline: now + timeout, chain: *home}
	*home = n
	t.link(n, x)
	t.count++
	s.kept.Add(1)
	return n
}

// room returns an empty slot. When there is none, a template that controls
// nothing gives way, one that was never of use before others.
func (t *Templates) room(now conntrack.Tick) uint32 {
	if n := t.free; n != 0 {
		t.free = t.at(n).chain
		return n
	}
	if t.used < len(t.slots) {
		t.used++
		return uint32(t.used)
	}
	victim := uint32(0)
	for range min(templateLooks, len(t.slots)) {
		t.hand = (t.hand + 1) % len(t.slots)
		x := &t.slots[t.hand]
		if x.controls > 0 {
			continue
		}
		victim = uint32(t.hand + 1)
		if !x.assured || t.outlived(x, now) {
			break
		}
	}
	if victim == 0 {
		return 0
	}
	t.drop(victim)
	t.free = t.at(victim).chain
	return victim
}

// outlived brings x up to date and reports whether its time is over. It comes
// before any change of what x controls, so that late is as good as in time.
func (t *Templates) outlived(x *template, now conntrack.Tick) bool {
	for int32(now-x.deadline) > templateGrace {
		if x.controls == 0 {
			return true
		}
		x.timeout = templateStep
		x.deadline += templateStep
	}
	return false
}

// control notes a connection that begins by template n.
func (t *Templates) control(n uint32, now conntrack.Tick) {
	x := t.at(n)
	x.controls++
	x.deadline = now + x.timeout
}

// release notes that a connection of template n has ended.
func (t *Templates) release(n uint32, now conntrack.Tick) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x := t.at(n)
	t.outlived(x, now)
	x.controls--
}

// assure notes that template n has proved of use.
func (t *Templates) assure(n uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at(n).assured = true
}

// assure tells the template of a connection, once, that it has proved of use.
func (w *Worker) assure(at conntrack.Index, rec *conntrack.Record) {
	if rec.Flags&(controlled|assured) == controlled {
		rec.Flags |= assured
		w.config.templates.assure(w.control[at])
	}
}

// drop frees the slot of template n.
func (t *Templates) drop(n uint32) {
	x := t.at(n)
	if !x.void {
		t.unhash(n)
	}
	t.unlink(x)
	t.servers[x.slot].kept.Add(-1)
	*x = template{chain: t.free}
	t.free = n
	t.count--
}

// dropOrphans drops the templates of deleted servers that control nothing, in
// the next places, and returns where to go on, -1 at the end.
func (t *Templates) dropOrphans(from int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := min(t.used, from+templateOrphans)
	for i := from; i < end; i++ {
		if x := &t.slots[i]; x.proto != 0 && x.controls == 0 && t.servers[x.slot].deleted.Load() {
			t.drop(uint32(i + 1))
		}
	}
	if end == t.used {
		return -1
	}
	return end
}

// unhash takes template n out of its home's chain.
func (t *Templates) unhash(n uint32) {
	x := t.at(n)
	for at := t.home(&x.templateKey); *at != 0; at = &t.at(*at).chain {
		if *at == n {
			*at = x.chain
			return
		}
	}
}

// link puts template n on the spoke of its deadline, or the farthest one.
// Deadlines only move away afterwards, so the visit never comes too late.
func (t *Templates) link(n uint32, x *template) {
	ahead := max(0, min(int32(x.deadline+templateGrace+1-t.next), templateSpokes-1))
	x.spoke = uint16((t.next + conntrack.Tick(ahead)) % templateSpokes)
	first := &t.spokes[x.spoke]
	x.prev, x.next = 0, *first
	if *first != 0 {
		t.at(*first).prev = n
	}
	*first = n
}

func (t *Templates) unlink(x *template) {
	if x.prev == 0 {
		t.spokes[x.spoke] = x.next
	} else {
		t.at(x.prev).next = x.next
	}
	if x.next != 0 {
		t.at(x.next).prev = x.prev
	}
}

// sweep drops templates whose time is over, some at a time: whoever comes
// first in a tick does it, and none waits for it.
func (t *Templates) sweep(now conntrack.Tick) {
	if t.swept.Load() == uint32(now) || !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	switch {
	case t.count == 0:
		t.next = now
	case int32(now-t.next) >= templateSpokes:
		t.next = now - (templateSpokes - 1) // one turn visits every spoke
	}
	for left := templateSweep; int32(now-t.next) >= 0; t.next++ {
		for n := t.spokes[t.next%templateSpokes]; n != 0; n = t.spokes[t.next%templateSpokes] {
			if left--; left < 0 {
				return
			}
			if x := t.at(n); t.outlived(x, now) {
				t.drop(n)
			} else {
				t.unlink(x)
				t.link(n, x)
			}
		}
	}
	t.swept.Store(uint32(now))
}

// Template is a template as connection lists show it.
type Template struct {
	Proto        uint8       // 0 = of a service by firewall mark
	Client       packet.Addr // the network, where the service names one
	Virtual      packet.Addr // the mark, of a service by firewall mark
	Server       *Server
	VPort, RPort uint16 // 0 = any, 65535 when it keeps nobody any more
	Assured      bool
	Expires      conntrack.Tick // how long it still lives if nothing comes
}

// Walk calls f for the templates in the next n places and returns where to go
// on, -1 at the end. Workers wait for it where a connection begins or ends.
func (t *Templates) Walk(now conntrack.Tick, from, n int, f func(Template)) int {
	if t == nil {
		return -1
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	end := min(t.used, from+n)
	for i := from; i < end; i++ {
		if x := &t.slots[i]; x.proto != 0 && !t.outlived(x, now) {
			f(t.seen(x, now))
		}
	}
	if end == t.used {
		return -1
	}
	return end
}

func (t *Templates) seen(x *template, now conntrack.Tick) Template {
	s := t.servers[x.slot]
	left := max(0, int32(x.deadline-now))
	row := Template{Proto: x.proto, Client: x.client, Virtual: x.virtual, Server: s, Assured: x.assured, Expires: conntrack.Tick(left)}
	if x.proto == markedProto {
		row.Proto = 0
	}
	switch {
	case x.void:
		row.VPort, row.RPort = voidPort, voidPort
	case x.port != 0:
		row.VPort, row.RPort = x.port, s.real.Port
	}
	return row
}

const voidPort = 65535
