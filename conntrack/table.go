// Package conntrack remembers which real server a client was given.
//
// A connection joins three endpoints: the client, the virtual address it
// called and the real server that answers. One 64-byte Record holds it, and it
// is found by either of its two flows,
//
//	client → virtual   (ToServer)
//	real → client      (ToClient)
//
// because address translation leaves the client's endpoint alone: the hash is
// of that endpoint, and the other endpoint is compared. Where it cannot, the
// second flow is found by an alias, a record of its own.
//
// Records lie in one array of memory without pointers that an XDP program can
// read. They never move, so Index and generation are a connection's name.
// Collisions go on with triangular steps, at most 64 probes; each slot keeps
// its reach, how many probes the keys at home there need, so a lookup stops
// early, a slot is free again at once, and reach shrinks with removals.
//
// A Table belongs to one goroutine. Time comes from the caller.
package conntrack

import (
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/lvx-lb/lvx/packet"
	"golang.org/x/sys/unix"
)

// Index is the slot of a connection in its table.
type Index uint32

// None is no connection.
const None Index = ^Index(0)

// probes is the longest run, and so the most that one client endpoint holds.
const probes = 64

const (
	goneRoom = 4096
	goneStop = goneRoom - 256 // leaves room for what Insert and Remove append
)

// Pair is what a server slot stands for.
type Pair struct{ Virtual, Real packet.Addr }

// Gone is a connection that ended; the caller takes it off its counts.
type Gone struct {
	Index  Index // where it was; somebody else may be there by now
	Server uint32
	State  State
	Flags  Flags
}

// Config says how large a table is and where it lies.
type Config struct {
	Capacity int      // most connections at a time
	Memory   []byte   // at least Bytes(Capacity), cleared by New; nil: anonymous memory of the table's own
	Seed     uint64   // of the hash; must not be guessed by clients
	Timeouts Timeouts // zero: DefaultTimeouts
}

// Table holds connections.
type Table struct {
	slots []Record
	lines []byte // the same memory, for the processor
	seed  [3]uint64

	// Pairs is indexed by server slot; the owner sets it between batches and
	// keeps a pair for as long as a connection names it.
	Pairs []Pair
	// Spare, if there is one, reports whether a connection whose time is over
	// lives on for a minute.
	Spare func(Index, *Record) bool
	// Idle, if there is one, tells of an established TCP connection whose time
	// is over how long it lives on, 0 if it does not.
	Idle func(Index, *Record) Tick
	// Owns reports whether answers to a client endpoint come to this table; nil
	// = all do.
	Owns func(client packet.Endpoint) bool

	aliasing bool
	alias    []Index // by the Index of what is Aliased
	aliases  int

	virtuals []packet.Addr // by Index, of records that are Elsewhere; nil until there are some

	rules    *rules
	timeouts Timeouts
	count    int
	capacity int
	serial   uint32
	gone     []Gone
	wheel    wheel
	mapped   []byte // memory that Close returns
}

// New makes an empty table.
func New(c Config) (*Table, error) {
	if c.Capacity < 1 || c.Capacity > maxSlots/4*3 {
		return nil, fmt.Errorf("make table for %d connections: %w", c.Capacity, ErrCapacity)
	}
	t := &Table{capacity: c.Capacity, rules: normal, timeouts: c.Timeouts, wheel: newWheel(), gone: make([]Gone, 0, goneRoom)}
	if c.Timeouts == (Timeouts{}) {
		t.timeouts = DefaultTimeouts()
	}
	for i := range t.seed {
		t.seed[i] = splitmix(c.Seed + uint64(i))
	}
	mem := c.Memory
	if mem == nil {
		var err error
		if mem, err = anonymous(Bytes(c.Capacity)); err != nil {
			return nil, err
		}
		t.mapped = mem
	}
	slots, err := recordsIn(mem, slotsFor(c.Capacity))
	if err != nil {
		return nil, fmt.Errorf("make table in %d bytes: %w", len(mem), err)
	}
	if c.Memory != nil {
		clear(slots)
	}
	t.slots, t.lines = slots, mem[:len(slots)*recordSize]
	return t, nil
}

// Close returns the memory if it is the table's own. The table must not be used
// afterwards.
func (t *Table) Close() error {
	t.slots, t.count = nil, 0
	if t.mapped == nil {
		return nil
	}
	mem := t.mapped
	t.mapped = nil
	return unix.Munmap(mem)
}

func splitmix(x uint64) uint64 {
	x = (x + 1) * 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// Hash is the seeded hash of a client endpoint, the same for both flows.
func (t *Table) Hash(proto uint8, client packet.Endpoint) uint64 {
	h := mum(client.Addr.Hi^t.seed[0], client.Addr.Lo^t.seed[1])
	return mum(h^uint64(proto)<<16^uint64(client.Port), t.seed[2])
}

// home maps a hash to its first slot without a division.
func (t *Table) home(hash uint64) Index {
	hi, _ := bits.Mul64(hash, uint64(len(t.slots)))
	return Index(hi)
}

// step returns the slot n places after i; n is less than minSlots.
func (t *Table) step(i, n Index) Index {
	i += n
	if i >= Index(len(t.slots)) {
		i -= Index(len(t.slots))
	}
	return i
}

// Find returns the connection of a flow: other is the virtual endpoint for
// ToServer, the real one for ToClient. Of several connections with the same
// reply flow the newest answers. What is OnePacket is found ToClient only.
func (t *Table) Find(hash uint64, proto uint8, client, other packet.Endpoint, dir Direction) Index {
	key := keyOf(hash, proto, client)
	i := t.home(hash)
	reach := Index(t.slots[i].reach)
	for n := Index(1); n <= reach; n++ {
		r := &t.slots[i]
		if r.key == key && r.isClient(client.Addr) && t.isOther(i, r, other, dir) {
			return i
		}
		i = t.step(i, n)
	}
	return None
}

func (t *Table) isOther(i Index, r *Record, other packet.Endpoint, dir Direction) bool {
	if int(r.Server) >= len(t.Pairs) {
		return false
	}
	pair := &t.Pairs[r.Server]
	if dir == ToServer {
		return r.VPort == other.Port && (pair.Virtual == other.Addr || r.Flags&Elsewhere != 0 && t.virtuals[i] == other.Addr) &&
			r.State != OnePacket
	}
	return r.RPort == other.Port && r.Flags&(Shadowed|Aliased) == 0 && pair.Real == other.Addr
}

// Virtual returns the virtual address of the connection at i.
func (t *Table) Virtual(i Index) packet.Addr { return t.virtual(i, &t.slots[i]) }

func (t *Table) virtual(i Index, r *Record) packet.Addr {
	if r.Flags&Elsewhere != 0 {
		return t.virtuals[i]
	}
	return t.pair(r).Virtual
}

// At returns the record of a connection.
func (t *Table) At(i Index) *Record { return &t.slots[i] }

// Name is a connection's name for as long as the table lives.
type Name struct {
	Index      Index
	Generation uint32
}

// Name returns the name of the connection at i.
func (t *Table) Name(i Index) Name { return Name{i, t.slots[i].generation} }

// Named returns where the connection of that name is, None if it is gone.
func (t *Table) Named(n Name) Index {
	if int(n.Index) < len(t.slots) {
		if r := &t.slots[n.Index]; !r.free() && r.generation == n.Generation {
			return n.Index
		}
	}
	return None
}

// Len returns the number of connections.
func (t *Table) Len() int { return t.count - t.aliases }

// Slots returns how many values an Index can have.
func (t *Table) Slots() int { return len(t.slots) }

// Capacity returns the most that Len becomes; an alias counts there.
func (t *Table) Capacity() int { return t.capacity }

// Free returns how many connections there is room for; one with an alias takes
// the room of two.
func (t *Table) Free() int { return t.capacity - t.count }

// SetTimeouts changes the timeouts; a running one stays until the next packet.
func (t *Table) SetTimeouts(timeouts Timeouts) { t.timeouts = timeouts }

// SetSecure chooses the rules of IPVS's secure_tcp, or the normal ones.
func (t *Table) SetSecure(on bool) {
	if t.rules = normal; on {
		t.rules = secure
	}
}

// Packet notes a TCP segment or an SCTP packet of a connection and returns the state before and
// after it. An Insert, Remove or Expire since Find may have ended the
// connection: then nothing happens, but its slot may also be another's by now,
// which a Name would tell.
func (t *Table) Packet(i Index, now Tick, dir Direction, e Event) (old, next State) {
	r := &t.slots[i]
	if r.free() {
		return NoState, NoState
	}
	old = r.State
	next = t.rules.next(old, dir, e)
	r.State = next
	t.seen(i, r, now)
	if next != old && next.HalfOpen() && !old.HalfOpen() {
		t.relink(i, r)
	}
	return old, next
}

// Touch notes a packet that changes no state.
func (t *Table) Touch(i Index, now Tick) {
	if r := &t.slots[i]; !r.free() {
		t.seen(i, r, now)
	}
}

// Hasten lets the connection live that long after its last packet, until the
// next one.
func (t *Table) Hasten(i Index, timeout Tick) {
	if r := &t.slots[i]; !r.free() {
		r.Timeout = timeout
		t.nearer(i, r)
	}
}

func (t *Table) seen(i Index, r *Record, now Tick) {
	r.LastSeen = now
	if r.key&keyV6 == 0 {
		r.wide[0]++
	}
	if timeout := t.timeout(r.State); timeout != r.Timeout {
		sooner := timeout < r.Timeout
		r.Timeout = timeout
		if sooner {
			t.nearer(i, r)
		}
	}
}

// Timeout returns how long a connection without packets stays in a state.
func (t *Table) Timeout(s State) Tick { return t.timeout(s) }

func (t *Table) timeout(s State) Tick {
	if s < NumStates {
		return t.timeouts[s]
	}
	return t.timeouts[NoState]
}

// Remove ends a connection.
func (t *Table) Remove(i Index) {
	if r := &t.slots[i]; !r.free() {
		t.drop(i, r)
	}
}

// drop frees a record; the key goes first, for readers outside.
func (t *Table) drop(i Index, r *Record) {
	gone := *r
	atomic.StoreUint64(&r.key, 0)
	t.unlink(r)
	t.count--
	t.gone = append(t.gone, Gone{i, gone.Server, gone.State, gone.Flags})
	home := t.homeOf(i, Index(gone.probe))
	if gone.Flags&shadows == Shadowing {
		t.uncover(home, &gone)
	}
	if gone.Flags&Aliased != 0 {
		t.dropAlias(i)
	}
	t.shrink(home, Index(gone.probe))
}

// shrink makes the reach of a home slot as short as its keys allow, after the
// one at the given probe has gone.
func (t *Table) shrink(home, probe Index) {
	h := &t.slots[home]
	if Index(h.reach) != probe+1 {
		return
	}
	for n := probe; ; n-- {
		if r := &t.slots[t.step(home, n*(n+1)/2)]; !r.free() && Index(r.probe) == n {
			h.reach = uint8(n + 1)
			return
		}
		if n == 0 {
			h.reach = 0
			return
		}
	}
}

// homeOf returns the slot where the run of a record begins.
func (t *Table) homeOf(i, probe Index) Index {
	back := probe * (probe + 1) / 2
	if i < back {
		i += Index(len(t.slots))
	}
	return i - back
}

// Gone returns the connections that ended since ClearGone. Clear it at every
// batch: Expire stops while the list is nearly full.
func (t *Table) Gone() []Gone { return t.gone }

// ClearGone empties the list.
func (t *Table) ClearGone() { t.gone = t.gone[:0] }
