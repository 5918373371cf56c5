package conntrack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lvx-lb/lvx/packet"
)

// A slow twin of the table: a map, and lists searched from end to end. Each
// operation goes to both; whatever the table does must be what the twin
// allows, and the table must be sound afterwards.

type flowKey struct {
	proto           uint8
	client, virtual packet.Endpoint
	once            uint32 // server + 1 of what is OnePacket
}

type twinConn struct {
	index         Index
	name          Name
	server        uint32
	rport         uint16
	state         State
	last, timeout Tick
	born, seen    int
}

func (c *twinConn) deadline() Tick { return c.last + c.timeout }

type twin struct {
	t        testing.TB
	table    *Table
	conns    map[flowKey]*twinConn
	dead     []Name
	timeouts Timeouts
	now      Tick
	swept    Tick // the last Expire
	born     int
	homes    uint64 // if not zero, all keys share so many homes
}

func newTwin(t testing.TB, capacity int, homes uint64) *twin {
	w := &twin{t: t, table: newTable(t, capacity), conns: map[flowKey]*twinConn{}, homes: homes,
		timeouts: DefaultTimeouts(), now: 1 << 31}
	return w
}

func (w *twin) hash(proto uint8, client packet.Endpoint) uint64 {
	h := w.table.Hash(proto, client)
	if w.homes != 0 {
		return h%w.homes<<60 | h&0xffff // also makes IPv6 key words equal now and then
	}
	return h
}

// play reads operations from data until it is used up.
func (w *twin) play(data []byte) {
	for len(data) >= 6 {
		w.step(data[0], data[1:6])
		data = data[6:]
	}
	w.expire(w.now, 1<<30)
	w.compare()
}

func (w *twin) step(op byte, arg []byte) {
	key, server, rport := w.choose(arg)
	switch {
	case op < 96:
		w.insert(key, server, rport, State(arg[4])%NumStates)
	case op < 176:
		w.packet(key, Direction(1+arg[3]&1), EventOf(arg[4]))
	case op < 200:
		w.remove(key)
	case op < 240:
		w.now += Tick(arg[3]) * Tick(1+arg[4]%8)
		w.expire(w.now, 1<<30)
	case op < 248:
		w.now += Tick(arg[3])
		w.expire(w.now, int(arg[4]%16))
	case op < 250:
		w.now += spokes + Tick(arg[3])<<8
	case op < 253:
		w.setTimeout(State(arg[3])%NumStates, arg[4])
	default:
		w.compare()
	}
	w.table.ClearGone()
}

func (w *twin) setTimeout(s State, size byte) {
	w.timeouts[s] = Tick(size) * Tick(size) / 2 // up to twice the wheel's turn
	w.table.SetTimeouts(w.timeouts)
}

// choose makes a connection of a small world, so that things repeat.
func (w *twin) choose(arg []byte) (key flowKey, server uint32, rport uint16) {
	key.proto = tcp
	if arg[0]&1 != 0 {
		key.proto = udp
	}
	server = uint32(arg[0]>>1) % uint32(len(pairs))
	key.client = packet.Endpoint{Addr: packet.AddrFrom4(0xc6336401 + uint32(arg[1]%7)), Port: 40000}
	v6 := !pairs[server].Real.Is4()
	if v6 {
		key.client.Addr = packet.Addr{Hi: 0x20010db8 << 32, Lo: uint64(arg[1] % 7)}
	}
	key.virtual = packet.Endpoint{Addr: pairs[server].Virtual, Port: uint16(arg[2] % 90)}
	switch {
	case pairs[server].Virtual == nowhere && v6:
		key.virtual.Addr = packet.Addr{Hi: 0x20010db8 << 32, Lo: uint64(1 + arg[2]>>7)}
	case pairs[server].Virtual == nowhere:
		key.virtual.Addr = packet.AddrFrom4(0xc0000201 + uint32(arg[2]>>7))
	}
	return key, server, uint16(arg[3] % 3)
}

func (w *twin) find(key flowKey) Index {
	return w.table.Find(w.hash(key.proto, key.client), key.proto, key.client, key.virtual, ToServer)
}

func (w *twin) insert(key flowKey, server uint32, rport uint16, state State) {
	if state == OnePacket {
		key.once = server + 1
	}
	hash := w.hash(key.proto, key.client)
	allowed, full := w.victims(key, hash)
	i, room := w.insertAt(hash, key, server, rport, state)
	if room != full {
		w.t.Fatalf("Insert: room %d, twin %d", room, full)
	}
	w.checkVictim(allowed)
	if room != OK {
		return
	}
	w.born++
	w.conns[key] = &twinConn{index: i, name: w.table.Name(i), server: server, rport: rport, state: state,
		last: w.now, timeout: w.timeouts[state], born: w.born}
}

func (w *twin) insertAt(hash uint64, key flowKey, server uint32, rport uint16, state State) (Index, Room) {
	if pairs[server].Virtual == nowhere {
		return w.table.InsertElsewhere(w.now, hash, key.proto, key.client, key.virtual, server, rport, state)
	}
	return w.table.Insert(w.now, hash, key.proto, key.client, server, key.virtual.Port, rport, state)
}

// victims returns which connections may end for a new one; none means there
// is room without, or none for it.
func (w *twin) victims(key flowKey, hash uint64) ([]flowKey, Room) {
	if w.conns[key] != nil {
		return []flowKey{key}, OK
	}
	if inRun, full := w.run(hash); full {
		var weak, stray []flowKey
		same := 0
		for k, c := range w.conns {
			if k.proto == key.proto && k.client == key.client {
				same++
				if c.state != Established {
					weak = append(weak, k)
				}
			} else if inRun[c.index] && c.state.HalfOpen() {
				stray = append(stray, k)
			}
		}
		switch {
		case len(weak) > 0:
			return w.least(weak, func(c *twinConn) Tick { return c.last }), OK
		case same == probes:
			return nil, EndpointFull
		case len(stray) > 0:
			return w.least(stray, func(c *twinConn) Tick { return c.last }), OK
		}
		return nil, Full
	}
	if len(w.conns) < w.table.Capacity() {
		return nil, OK
	}
	var halfOpen []flowKey
	for k, c := range w.conns {
		if c.state.HalfOpen() {
			halfOpen = append(halfOpen, k)
		}
	}
	if len(halfOpen) == 0 {
		return nil, Full
	}
	// What the wheel cannot tell apart may go in any order.
	first := w.table.wheel.next
	return w.least(halfOpen, func(c *twinConn) Tick {
		return first + max(0, min(c.deadline()-first, spokes-1))
	}), OK
}

// least returns those with the smallest value.
func (w *twin) least(keys []flowKey, value func(*twinConn) Tick) []flowKey {
	var least []flowKey
	for _, k := range keys {
		d := int32(0)
		if len(least) > 0 {
			d = int32(value(w.conns[k]) - value(w.conns[least[0]]))
		}
		if d < 0 {
			least = least[:0]
		}
		if d <= 0 {
			least = append(least, k)
		}
	}
	return least
}

// run returns the slots that a hash may take and whether all are taken.
func (w *twin) run(hash uint64) (slots map[Index]bool, full bool) {
	slots, full = map[Index]bool{}, true
	i := w.table.home(hash)
	for n := Index(1); n <= probes; n++ {
		slots[i] = true
		full = full && !w.table.slots[i].free()
		i = w.table.step(i, n)
	}
	return slots, full
}

// checkVictim finds out which connection ended and takes it away.
func (w *twin) checkVictim(allowed []flowKey) {
	gone := w.table.Gone()
	if len(allowed) == 0 {
		if len(gone) != 0 {
			w.t.Fatalf("%v ended without need", gone)
		}
		return
	}
	for _, k := range allowed {
		c := w.conns[k]
		if w.table.Named(c.name) == None {
			w.end(k, gone)
			return
		}
	}
	w.t.Fatalf("none of %d connections ended that should, but %v", len(allowed), gone)
}

// end removes a connection that must stand alone on the list of the gone.
func (w *twin) end(k flowKey, gone []Gone) {
	c := w.conns[k]
	if len(gone) != 1 || gone[0].Server != c.server || gone[0].State != c.state {
		w.t.Fatalf("gone %+v, want server %d in %v", gone, c.server, c.state)
	}
	w.dead = append(w.dead, c.name)
	delete(w.conns, k)
}

func (w *twin) packet(key flowKey, dir Direction, e Event) {
	i := w.find(key)
	c := w.conns[key]
	if c == nil {
		if i != None {
			w.t.Fatalf("found %v, which the twin does not know", key)
		}
		return
	}
	if i != c.index {
		w.t.Fatalf("found at %d, want %d", i, c.index)
	}
	if c.state == UDP {
		w.table.Touch(i, w.now)
	} else {
		old, next := w.table.Packet(i, w.now, dir, e)
		if old != c.state || next != c.state.Next(dir, e) {
			w.t.Fatalf("%v → %v, want %v → %v", old, next, c.state, c.state.Next(dir, e))
		}
		c.state = next
	}
	c.last, c.timeout = w.now, w.timeouts[c.state]
	c.seen++
}

func (w *twin) remove(key flowKey) {
	i := w.find(key)
	if (i == None) != (w.conns[key] == nil) {
		w.t.Fatalf("find: %v, twin %v", i, w.conns[key])
	}
	if i != None {
		w.table.Remove(i)
		w.end(key, w.table.Gone())
	}
}

func (w *twin) expire(now Tick, budget int) {
	w.swept = now
	visited := w.table.Expire(now, budget)
	if visited > budget {
		w.t.Fatalf("visited %d with a budget of %d", visited, budget)
	}
	var want, got []string
	for k, c := range w.conns {
		due := int32(now-c.deadline()) >= 0
		ended := w.table.Named(c.name) == None
		if ended && !due || !ended && due && visited < budget {
			w.t.Fatalf("%v with deadline %d at %d: ended %v", c.state, c.deadline(), now, ended)
		}
		if ended {
			want = append(want, fmt.Sprint(c.server, c.state))
			w.dead = append(w.dead, c.name)
			delete(w.conns, k)
		}
	}
	for _, g := range w.table.Gone() {
		got = append(got, fmt.Sprint(g.Server, g.State))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		w.t.Fatalf("gone %v, want %v", got, want)
	}
}

// compare looks at everything.
func (w *twin) compare() {
	if err := w.table.sound(w.swept); err != nil {
		w.t.Fatal(err)
	}
	if w.table.Len() != len(w.conns) {
		w.t.Fatalf("%d connections, twin %d", w.table.Len(), len(w.conns))
	}
	newest := map[flowKey]*twinConn{} // by reply flow
	for k, c := range w.conns {
		reply := w.reply(k, c)
		if n := newest[reply]; n == nil || n.born < c.born {
			newest[reply] = c
		}
	}
	for k, c := range w.conns {
		r := w.table.At(c.index)
		if (k.once == 0) != (w.find(k) == c.index) || r.Server != c.server || r.State != c.state || r.LastSeen != c.last ||
			r.Timeout != c.timeout || r.RPort != c.rport || r.VPort != k.virtual.Port ||
			r.Client() != k.client || w.table.Virtual(c.index) != k.virtual.Addr || r.Proto() != k.proto || w.table.Named(c.name) != c.index {
			w.t.Fatalf("record %+v, twin %+v", *r, *c)
		}
		if k.client.Addr.Is4() && r.Packets() != uint64(c.seen) {
			w.t.Fatalf("%d packets, want %d", r.Packets(), c.seen)
		}
		reply := w.reply(k, c)
		got := w.table.Find(w.hash(k.proto, k.client), k.proto, k.client, reply.virtual, ToClient)
		if got != newest[reply].index {
			w.t.Fatalf("reply %+v finds %d, want %d", reply, got, newest[reply].index)
		}
	}
	for _, name := range w.dead {
		if i := w.table.Named(name); i != None {
			w.t.Fatalf("dead name %v finds %d", name, i)
		}
	}
}

func (w *twin) reply(k flowKey, c *twinConn) flowKey {
	return flowKey{proto: k.proto, client: k.client, virtual: packet.Endpoint{Addr: pairs[c.server].Real, Port: c.rport}}
}

func TestTableDoesWhatItsSlowTwinDoes(t *testing.T) {
	for _, c := range []struct {
		name     string
		capacity int
		homes    uint64
	}{
		{"roomy", 2000, 0},
		{"full", 50, 0},
		{"full and crowded", 50, 2},
		{"crowded runs", 2000, 2},
		{"one run", 2000, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(3) {
				random := rand.New(rand.NewPCG(seed, 0))
				data := make([]byte, 6*6000)
				for i := range data {
					data[i] = byte(random.Uint32())
				}
				newTwin(t, c.capacity, c.homes).play(data)
			}
		})
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("insert find remove expire walk and all the rest of it"), uint8(10), uint8(0))
	f.Add([]byte("\x00\x00\x00\x01\x02\x03\xff\x00\x00\x00\x00\x00"), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, capacity, homes uint8) {
		newTwin(t, 1+int(capacity)%60, uint64(homes%3)).play(data)
	})
}
