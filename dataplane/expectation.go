package dataplane

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
)

const (
	maxExpectations = 4096 // of all workers; then the oldest gives way
	maxOfDialog     = 8    // of one dialog, so that nobody pushes out those of others alone
)

// expectation is a data connection that one side of a control connection was
// told to open.
type expectation struct {
	expectationKey
	server       *Server
	virtual      packet.Endpoint
	rport        uint16
	dialog       uint32
	deadline     conntrack.Tick
	chain        uint32 // the next one of one home, or free
	older, newer uint32 // neighbours in time
}

// expectationKey is what expectations are found by.
type expectationKey struct {
	client packet.Endpoint // port 0 = any: it calls
	other  packet.Endpoint // the virtual endpoint that it calls, or the real one that calls it
}

// FTP is what all workers share of FTP: the data connections that are expected,
// and the dialogs that they come from. It is touched only when a
// connection begins, is expected or ends. Numbers begin at 1; 0 is none.
type FTP struct {
	ports   []uint16        // of control connections
	awaited []atomic.Uint64 // by port, the data connections; steering reads it
	count   atomic.Int32    // of expectations

	mu             spin
	slots          []expectation
	homes          []uint32
	seed           uint64
	free           uint32
	used           int    // slots that were ever used
	oldest, newest uint32 // their deadlines come in this order

	dialogs     []dialog
	freeDialog  uint32
	usedDialogs int
}

func newFTP(ports []uint16, awaited []atomic.Uint64) *FTP {
	if awaited == nil {
		awaited = make([]atomic.Uint64, 1<<16)
	}
	return &FTP{
		ports: ports, awaited: awaited, seed: rand.Uint64(),
		slots: make([]expectation, maxExpectations), homes: make([]uint32, maxExpectations), dialogs: make([]dialog, maxDialogs),
	}
}

func (f *FTP) at(n uint32) *expectation { return &f.slots[n-1] }

func (f *FTP) home(k *expectationKey) *uint32 {
	hi, lo := bits.Mul64(k.client.Addr.Hi<<1^k.client.Addr.Lo^f.seed, 0x9e3779b97f4a7c15^k.other.Addr.Lo)
	hi, lo = bits.Mul64(hi^lo^uint64(k.client.Port)<<16, uint64(k.other.Port)<<32^k.other.Addr.Hi^0xbf58476d1ce4e5b9)
	return &f.homes[(hi^lo)%maxExpectations]
}

// find returns the expectation of k that has not run out.
func (f *FTP) find(k *expectationKey, now conntrack.Tick) uint32 {
	for n := *f.home(k); n != 0; n = f.at(n).chain {
		if x := f.at(n); x.expectationKey == *k {
			if int32(now-x.deadline) >= 0 {
				return 0
			}
			return n
		}
	}
	return 0
}

// expects reports whether a call like k is expected, and from which server or
// to which.
func (f *FTP) expects(k *expectationKey, now conntrack.Tick) *Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := f.find(k, now); n != 0 {
		return f.at(n).server
	}
	return nil
}

// expect adds x, which ends what was expected in its place. Steering takes its
// packets from now on.
func (f *FTP) expect(x expectation, timeout, now conntrack.Tick) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(x, timeout, now)
}

// expectAt is expect for a client that calls; it chooses the virtual port. That
// of the server stays unless the client, or others behind its address, were told
// to call another server by it.
func (f *FTP) expectAt(x expectation, timeout, now conntrack.Tick, taken func(packet.Endpoint) bool) uint16 {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range portTries {
		n := f.find(&x.expectationKey, now)
		if n == 0 && (x.other.Port == x.rport || !taken(x.other)) || n != 0 && f.at(n).server == x.server && f.at(n).rport == x.rport {
			break
		}
		if x.other.Port++; x.other.Port < firstPort {
			x.other.Port = firstPort
		}
	}
	x.virtual = x.other
	f.add(x, timeout, now)
	return x.virtual.Port
}

const (
	portTries = 16
	firstPort = 1024 // that is not privileged
)

func (f *FTP) add(x expectation, timeout, now conntrack.Tick) {
	home := f.home(&x.expectationKey)
	for n := *home; n != 0; n = f.at(n).chain {
		if f.at(n).expectationKey == x.expectationKey {
			f.giveUp(n)
			break
		}
	}
	d := &f.dialogs[x.dialog-1]
	if eldest := d.expects[0]; d.expects[maxOfDialog-1] != 0 {
		f.giveUp(uint32(eldest))
	}
	n := f.room()
	d.expects[slices.Index(d.expects[:], 0)] = uint16(n)
	x.deadline, x.chain, x.older, x.newer = now+timeout, *home, f.newest, 0
	*home = n
	*f.at(n) = x
	if f.newest == 0 {
		f.oldest = n
	} else {
		f.at(f.newest).newer = n
	}
	f.newest = n
	f.count.Add(1)
	d.users.Add(1)
	f.await(x.virtual.Port, x.rport, 1)
	x.server.begin(conntrack.Listen)
}

// room returns an empty slot; the oldest expectation gives way for it.
func (f *FTP) room() uint32 {
	if f.free == 0 {
		if f.used < len(f.slots) {
			f.used++
			return uint32(f.used)
		}
		f.giveUp(f.oldest)
	}
	n := f.free
	f.free = f.at(n).chain
	return n
}

// take ends the expectation of k for the connection that has come. What it
// holds passes to that connection.
func (f *FTP) take(k *expectationKey, now conntrack.Tick) (x expectation, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.find(k, now)
	if n == 0 {
		return x, false
	}
	x = *f.at(n)
	f.drop(n)
	return x, true
}

// giveUp ends expectation n, for which nobody came.
func (f *FTP) giveUp(n uint32) {
	x := *f.at(n)
	f.drop(n)
	x.server.end(conntrack.Listen)
	f.await(x.virtual.Port, x.rport, -1)
	f.hangUp(x.dialog)
}

func (f *FTP) drop(n uint32) {
	x := f.at(n)
	for at := f.home(&x.expectationKey); *at != 0; at = &f.at(*at).chain {
		if *at == n {
			*at = x.chain
			break
		}
	}
	if x.older == 0 {
		f.oldest = x.newer
	} else {
		f.at(x.older).newer = x.newer
	}
	if x.newer == 0 {
		f.newest = x.older
	} else {
		f.at(x.newer).older = x.older
	}
	expects := &f.dialogs[x.dialog-1].expects
	at := slices.Index(expects[:], uint16(n))
	copy(expects[at:], expects[at+1:])
	expects[maxOfDialog-1] = 0
	*x = expectation{chain: f.free}
	f.free = n
	f.count.Add(-1)
}

// await counts a data connection in (1) or out (-1) where steering looks.
func (f *FTP) await(vport, rport uint16, by int64) {
	f.awaited[vport].Add(uint64(by))
	if rport != vport {
		f.awaited[rport].Add(uint64(by))
	}
}

// awaits reports whether a data connection has, or will have, a port of that
// number.
func (f *FTP) awaits(proto uint8, port uint16) bool {
	return f != nil && proto == packet.TCP && f.awaited[port].Load() > 0
}

// sweep gives up what nobody came for in time; whoever holds the lock does it.
func (f *FTP) sweep(now conntrack.Tick) {
	if f.count.Load() == 0 || !f.mu.TryLock() {
		return
	}
	defer f.mu.Unlock()
	for f.oldest != 0 && int32(now-f.at(f.oldest).deadline) >= 0 {
		f.giveUp(f.oldest)
	}
}

// dropOrphans gives up the data connections of deleted servers.
func (f *FTP) dropOrphans() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := f.oldest; n != 0; {
		x := f.at(n)
		next := x.newer
		if x.server.deleted.Load() {
			f.giveUp(n)
		}
		n = next
	}
}

// Expected is a data connection that nobody has opened yet, as connection lists
// show it.
type Expected struct {
	Client, Virtual packet.Endpoint // the client's port may be 0, any
	Server          *Server
	RPort           uint16
	Expires         conntrack.Tick
}

// Each calls do for every data connection that is expected. Workers wait for it
// where one begins or ends, but not for do.
func (f *FTP) Each(now conntrack.Tick, do func(Expected)) {
	if f == nil {
		return
	}
	all := make([]expectation, 0, maxExpectations)
	f.mu.Lock()
	for n := f.oldest; n != 0; n = f.at(n).newer {
		all = append(all, *f.at(n))
	}
	f.mu.Unlock()
	for _, x := range all {
		do(Expected{x.client, x.virtual, x.server, x.rport, conntrack.Tick(max(0, int32(x.deadline-now)))})
	}
}
