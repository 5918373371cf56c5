package xsk

import (
	"errors"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/nic/xsk/bare"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var _ nic.Queue = (*Socket)(nil)

const chunks = 512

// pairOfSockets opens a socket on each of two NICs over one UMEM, with small
// rings, and a ledger over both.
type pairOfSockets struct {
	u      *UMEM
	a, b   *Socket
	ledger *nic.Ledger
	fwd    *bare.Forwarder
}

// smallRings is the Config of every test.
func smallRings(p *nicPair) Config {
	return Config{Ifindex: p.near.Attrs().Index, Mode: Native, RxSize: 128, TxSize: 128, FillSize: 128, CompletionSize: 128}
}

func openTwo(t testing.TB, pa, pb *nicPair, mode Mode) *pairOfSockets {
	t.Helper()
	u, err := NewPool(chunks, 4096, -1)
	must(t, err)
	all := u.Chunks()
	open := func(p *nicPair, shared *Socket, fill []uint64) *Socket {
		cfg := smallRings(p)
		cfg.Mode, cfg.Shared, cfg.Fill = mode, shared, fill
		s, err := Open(u, cfg)
		must(t, err)
		p.steer(t, s)
		return s
	}
	x := &pairOfSockets{u: u, ledger: nic.NewLedger(&u.Pool)}
	x.a = open(pa, nil, all[:128])
	x.b = open(pb, x.a, all[128:256])
	x.fwd = bare.New(&u.Pool, x.ledger.Watch(x.a, "a", all[:128]...), x.ledger.Watch(x.b, "b", all[128:256]...), all[256:])
	return x
}

func (x *pairOfSockets) close() {
	x.b.Close()
	x.a.Close()
	x.u.Close()
}

// settle works until nothing is on its way.
func (x *pairOfSockets) settle(t testing.TB) {
	t.Helper()
	eventually(t, "frames in flight", func() bool {
		return x.fwd.Step() == 0 && x.a.InFlight() == 0 && x.b.InFlight() == 0
	})
}

func TestFramesCrossBetweenTwoNICsAndNoChunkIsLost(t *testing.T) {
	for mode, attach := range map[Mode]link.XDPAttachFlags{Native: link.XDPDriverMode, Generic: link.XDPGenericMode} {
		t.Run(mode.String(), func(t *testing.T) { cross(t, mode, attach) })
	}
}

func cross(t *testing.T, mode Mode, attach link.XDPAttachFlags) {
	inLab(t, func() {
		pa, pb := newPairWith(t, "a", attach), newPairWith(t, "b", attach)
		x := openTwo(t, pa, pb, mode)
		defer x.close()
		const frames, window = 5000, 64 // no ring on the way holds fewer
		var fromA, fromB uint32
		await := func(least uint32) {
			eventually(t, "frames at the far ends", func() bool {
				x.fwd.Step()
				fromA += arrived(t, pb, fromA)
				fromB += arrived(t, pa, fromB)
				return fromA >= least && fromB >= least
			})
		}
		for i := uint32(0); i < frames; i++ {
			pa.send(t, i, 60+int(i)%1400)
			pb.send(t, i, 60)
			await(max(i, window) - window)
		}
		await(frames)
		x.settle(t)
		must(t, x.ledger.Check(x.fwd.Free()))
		if x.fwd.Dropped != 0 || x.fwd.Forwarded != 2*frames {
			t.Errorf("forwarded %d, dropped %d", x.fwd.Forwarded, x.fwd.Dropped)
		}
		for _, s := range []nic.Stats{x.a.Stats(), x.b.Stats()} {
			if s.RxDropped+s.RxRingFull+s.RxInvalid+s.TxInvalid+s.KickFailed+s.KickDown+s.TxDropped != 0 {
				t.Errorf("losses: %+v", s)
			}
		}
	})
}

// arrived counts the frames at the far end and checks their order.
func arrived(t testing.TB, p *nicPair, next uint32) (n uint32) {
	t.Helper()
	for {
		number, _, ok := p.receive()
		if !ok {
			return n
		}
		if number != next+n {
			t.Errorf("frame %d arrived where %d was due", number, next+n)
			return n
		}
		n++
	}
}

func TestALinkThatGoesDownIsSurvived(t *testing.T) {
	inLab(t, func() {
		pa, pb := newPair(t, "a"), newPair(t, "b")
		x := openTwo(t, pa, pb, Native)
		defer x.close()
		must(t, netlink.LinkSetDown(pb.near))
		for i := range uint32(20) {
			pa.send(t, i, 60)
		}
		eventually(t, "kicks refused", func() bool { x.fwd.Step(); return x.b.Stats().KickDown > 0 && x.fwd.Forwarded == 20 })
		if x.b.Unsent() != 20 {
			t.Errorf("%d frames wait for the link", x.b.Unsent())
		}
		must(t, netlink.LinkSetUp(pb.near))
		var n uint32
		eventually(t, "frames after the link came up", func() bool {
			x.fwd.Step()
			n += arrived(t, pb, n)
			return n == 20
		})
		x.settle(t)
		must(t, x.ledger.Check(x.fwd.Free()))
	})
}

func TestFramesLostForWantOfACarrierAreCountedAndComeBack(t *testing.T) {
	inLab(t, func() {
		pa, pb := newPair(t, "a"), newPair(t, "b")
		x := openTwo(t, pa, pb, Native)
		defer x.close()
		must(t, netlink.LinkSetDown(pb.far))
		for i := range uint32(20) {
			pa.send(t, i, 60)
		}
		eventually(t, "20 lost frames", func() bool { x.fwd.Step(); return x.b.Stats().TxDropped == 20 })
		x.settle(t)
		must(t, x.ledger.Check(x.fwd.Free()))
	})
}

func TestAFullTransmitRingTakesNoMore(t *testing.T) {
	inLab(t, func() {
		pa, pb := newPair(t, "a"), newPair(t, "b")
		x := openTwo(t, pa, pb, Native)
		defer x.close()
		must(t, netlink.LinkSetDown(pb.near))
		for i := range uint32(200) {
			pa.send(t, i, 60)
			x.fwd.Step()
		}
		eventually(t, "200 frames treated", func() bool { x.fwd.Step(); return x.fwd.Forwarded+x.fwd.Dropped == 200 })
		if x.fwd.Forwarded != 128 {
			t.Errorf("a ring of 128 took %d", x.fwd.Forwarded)
		}
		must(t, x.ledger.Check(x.fwd.Free()))
	})
}

func TestAQueueOpensAgainAfterItsSocketWasClosed(t *testing.T) {
	inLab(t, func() {
		pa, pb := newPair(t, "a"), newPair(t, "b")
		for round := range 5 {
			x := openTwo(t, pa, pb, Native)
			pa.send(t, 7, 60)
			eventually(t, "the frame", func() bool {
				x.fwd.Step()
				number, _, ok := pb.receive()
				return ok && number == 7
			})
			if t.Failed() {
				t.Errorf("round %d", round)
				return
			}
			x.close()
		}
	})
}

func TestASecondSocketOnAQueueIsBusy(t *testing.T) {
	inLab(t, func() {
		p := newPair(t, "a")
		u, err := NewPool(64, 2048, -1)
		must(t, err)
		s, err := Open(u, Config{Ifindex: p.near.Attrs().Index, Mode: Native})
		must(t, err)
		defer s.Close()
		before := time.Now()
		if err := Probe(p.near.Attrs().Index, 0, Native); !errors.Is(err, ErrBusy) {
			t.Errorf("got %v, want ErrBusy", err)
		}
		if time.Since(before) < bindPatience {
			t.Error("did not wait for the queue to become free")
		}
	})
}

func TestProbeTellsThatVethHasNoZeroCopy(t *testing.T) {
	inLab(t, func() {
		ifindex := newPair(t, "a").near.Attrs().Index
		if err := Probe(ifindex, 0, ZeroCopy); !errors.Is(err, ErrNotSupported) {
			t.Errorf("zero copy: %v", err)
		}
		for _, mode := range []Mode{Native, Generic} {
			if err := Probe(ifindex, 0, mode); err != nil {
				t.Errorf("%v: %v", mode, err)
			}
		}
		if err := Probe(ifindex, 9, Native); !errors.Is(err, ErrNotSupported) {
			t.Errorf("a queue that does not exist: %v", err)
		}
	})
}

func TestAnotherOwnerGoesOnWithTheSockets(t *testing.T) {
	inLab(t, func() {
		pa, pb := newPair(t, "a"), newPair(t, "b")
		old := openTwo(t, pa, pb, Native)
		pa.send(t, 1, 60)
		eventually(t, "a frame through the first owner", func() bool { old.fwd.Step(); _, _, ok := pb.receive(); return ok })
		fds := dup(t, old.u.FD(), old.a.FD(), old.b.FD())
		pa.send(t, 2, 60) // waits in a's receive ring
		free := append([]uint64(nil), old.fwd.Free()...)
		old.close()

		u, err := NewPool(chunks, 4096, fds[0])
		must(t, err)
		take := func(p *nicPair, fd int) *Socket {
			cfg := smallRings(p)
			cfg.Given = fd
			s, err := Open(u, cfg)
			must(t, err)
			return s
		}
		x := &pairOfSockets{u: u, a: take(pa, fds[1]), b: take(pb, fds[2])}
		defer x.close()
		x.fwd = bare.New(&u.Pool, x.a, x.b, free)
		pa.send(t, 3, 60)
		next := uint32(2)
		eventually(t, "both frames through the second owner", func() bool {
			x.fwd.Step()
			next += arrived(t, pb, next)
			return next == 4
		})
		x.settle(t)
	})
}

func dup(t testing.TB, fds ...int) []int {
	t.Helper()
	var copies []int
	for _, fd := range fds {
		c, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		must(t, err)
		copies = append(copies, c)
	}
	return copies
}
