package dataplane

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
)

// expecting is an FTP with servers and dialogs.
type expecting struct {
	*FTP
	servers [3]*Server
	dialogs [3]uint32
}

func newExpecting() *expecting {
	x := &expecting{FTP: newFTP([]uint16{21}, nil)}
	for i := range x.servers {
		x.servers[i] = &Server{Slot: uint32(i), real: packet.Endpoint{Addr: packet.AddrFrom4(0x0a00000b + uint32(i)), Port: 21}}
		x.dialogs[i] = x.openDialog()
	}
	return x
}

func calling(client, virtual string) expectationKey {
	return expectationKey{packet.Endpoint{Addr: addrOf(client)}, packet.EndpointFrom(netip.MustParseAddrPort(virtual))}
}

// settled fails unless nobody is awaited, counted or talked to any more.
func (x *expecting) settled(t *testing.T) {
	t.Helper()
	for port := range x.awaited {
		if n := x.awaited[port].Load(); n != 0 {
			t.Fatalf("port %d is awaited %d times", port, n)
		}
	}
	for i, s := range x.servers {
		if active, inactive := s.Counts(); active+inactive != 0 || x.FTP.dialogs[x.dialogs[i]-1].users.Load() != 1 {
			t.Fatalf("server %d: %d connections, %d users of its dialog", i, active+inactive, x.FTP.dialogs[x.dialogs[i]-1].users.Load())
		}
	}
	if x.count.Load() != 0 || x.oldest != 0 || x.newest != 0 {
		t.Fatalf("%d expectations, oldest %d, newest %d", x.count.Load(), x.oldest, x.newest)
	}
}

// TestExpectationsDoWhatTheirSlowTwinDoes compares with a list.
func TestExpectationsDoWhatTheirSlowTwinDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x := newExpecting()
	var twin []expectation
	now := conntrack.Tick(0)
	at := func(k expectationKey) int {
		return slices.IndexFunc(twin, func(e expectation) bool { return e.expectationKey == k && int32(now-e.deadline) < 0 })
	}
	nobody := func(e packet.Endpoint) bool { return e.Port == 2003 }
	full := 0
	for range 30000 {
		i := r.IntN(3)
		e := expectation{server: x.servers[i], rport: uint16(2000 + r.IntN(6)), dialog: x.dialogs[i]}
		e.client.Addr, e.other = packet.AddrFrom4(uint32(r.IntN(3))), packet.Endpoint{Addr: addrOf("192.0.2.1"), Port: e.rport}
		switch r.IntN(4) {
		case 0:
			want := e
			for {
				n := at(want.expectationKey)
				if n >= 0 && (twin[n].server != e.server || twin[n].rport != e.rport) || n < 0 && want.other.Port != e.rport && nobody(want.other) {
					want.other.Port++
					continue
				}
				break
			}
			want.deadline, want.virtual = now+100, want.other
			twin = slices.DeleteFunc(twin, func(o expectation) bool { return o.expectationKey == want.expectationKey })
			ofDialog := func(o expectation) bool { return o.dialog == e.dialog }
			if eldest := slices.IndexFunc(twin, ofDialog); len(twin)-len(slices.DeleteFunc(slices.Clone(twin), ofDialog)) == maxOfDialog {
				twin = slices.Delete(twin, eldest, eldest+1)
				full++
			}
			twin = append(twin, want)
			if port := x.expectAt(e, 100, now, nobody); port != want.other.Port {
				t.Fatalf("port %d, want %d", port, want.other.Port)
			}
		case 1:
			n := at(e.expectationKey)
			got, ok := x.take(&e.expectationKey, now)
			if ok != (n >= 0) || ok && (got.server != twin[n].server || got.rport != twin[n].rport || got.virtual != twin[n].virtual) {
				t.Fatalf("took %+v, %v", got, ok)
			}
			if ok {
				got.server.end(conntrack.Listen)
				x.ended(&side{got.dialog, got.virtual.Port, got.rport})
				twin = slices.Delete(twin, n, n+1)
			}
		case 2:
			n, s := at(e.expectationKey), x.expects(&e.expectationKey, now)
			if (s != nil) != (n >= 0) || s != nil && s != twin[n].server {
				t.Fatalf("expects %v", s)
			}
		default:
			now += conntrack.Tick(r.IntN(3))
			x.sweep(now)
			twin = slices.DeleteFunc(twin, func(o expectation) bool { return int32(now-o.deadline) >= 0 })
		}
		if int(x.count.Load()) != len(twin) {
			t.Fatalf("%d expectations, want %d", x.count.Load(), len(twin))
		}
	}
	if full < 100 {
		t.Errorf("a dialog was full %d times: too seldom to show anything", full)
	}
	x.sweep(now + 100)
	x.settled(t)
}

// manyCallers expects the clients 0.0.0.0, 0.0.0.1 and so on, as many of each
// dialog as it may have.
func (x *expecting) manyCallers(n int) {
	dialog := uint32(0)
	for n := range uint32(n) {
		if n%maxOfDialog == 0 {
			dialog = x.openDialog()
		}
		x.expectAt(expectation{expectationKey: caller(n), server: x.servers[0], rport: 5000, dialog: dialog}, 1200, conntrack.Tick(n), nil)
	}
}

func caller(n uint32) expectationKey {
	return expectationKey{packet.Endpoint{Addr: packet.AddrFrom4(n)}, packet.Endpoint{Addr: addrOf("192.0.2.1"), Port: 5000}}
}

func TestOfTooManyExpectationsTheOldestGiveWay(t *testing.T) {
	x := newExpecting()
	x.manyCallers(maxExpectations + 10)
	if n := x.awaited[5000].Load(); n != maxExpectations {
		t.Errorf("%d awaited", n)
	}
	for n := range uint32(20) {
		if k := caller(n); (x.expects(&k, 0) != nil) != (n >= 10) {
			t.Errorf("expectation %d is there, or not", n)
		}
	}
	x.sweep(100000)
	x.settled(t)
}

// One client that asks over and over leaves others theirs.
func TestADialogExpectsOnlySoMany(t *testing.T) {
	x := newExpecting()
	x.manyCallers(maxExpectations / 2)
	for n := range uint32(maxExpectations) {
		x.expectAt(expectation{expectationKey: caller(1<<24 + n), server: x.servers[1], rport: 5000, dialog: x.dialogs[1]}, 1200, 0, nil)
	}
	if n := x.count.Load(); n != maxExpectations/2+maxOfDialog {
		t.Errorf("%d are expected", n)
	}
	for n := range uint32(maxExpectations / 2) {
		if k := caller(n); x.expects(&k, 0) == nil {
			t.Fatalf("client %d is expected no more", n)
		}
	}
	for n := range uint32(maxExpectations) {
		if k := caller(1<<24 + n); (x.expects(&k, 0) != nil) != (n >= maxExpectations-maxOfDialog) {
			t.Fatalf("call %d of a dialog is expected, or not", n)
		}
	}
	x.sweep(100000)
	x.settled(t)
}

func TestDialogsAreBounded(t *testing.T) {
	f := newFTP([]uint16{21}, nil)
	for n := range uint32(maxDialogs) {
		if f.openDialog() != n+1 {
			t.Fatalf("dialog %d", n+1)
		}
	}
	if f.openDialog() != 0 {
		t.Error("one too many")
	}
	f.ended(&side{dialog: 7})
	if f.openDialog() != 7 || f.openDialog() != 0 {
		t.Error("the one that ended is not used again, or twice")
	}
}

// TestOneCallIsTakenOnce has several workers take what others expect.
func TestOneCallIsTakenOnce(t *testing.T) {
	x := newExpecting()
	k := calling("198.51.100.7", "192.0.2.1:5000")
	var took atomic.Int64
	var group sync.WaitGroup
	for i := range 3 {
		group.Go(func() {
			for now := range conntrack.Tick(2000) {
				if i == 0 {
					x.expectAt(expectation{expectationKey: k, server: x.servers[i], rport: 5000, dialog: x.dialogs[i]}, 10, now, nil)
				}
				if got, ok := x.take(&k, now); ok {
					took.Add(1)
					got.server.end(conntrack.Listen)
					x.ended(&side{got.dialog, got.virtual.Port, got.rport})
				}
				x.sweep(now)
			}
		})
	}
	group.Wait()
	if took.Load() == 0 || took.Load() > 2000 {
		t.Errorf("%d were taken", took.Load())
	}
	x.sweep(1 << 20)
	x.settled(t)
}

// Data connections of a service have the port below its own.
func TestFTPIsHelpedWhereThereIsAPortBelow(t *testing.T) {
	roster, err := NewRoster(nil)
	if err != nil {
		t.Fatal(err)
	}
	if roster.HelpFTP([]uint16{0, 1, 2, 21}, nil); !slices.Equal(roster.ftpPorts, []uint16{2, 21}) {
		t.Error(roster.ftpPorts)
	}
}
