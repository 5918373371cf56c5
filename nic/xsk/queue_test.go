package xsk

import (
	"testing"

	"github.com/lvx-lb/lvx/nic"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// openOne opens a socket whose kicks send at most budget frames a call.
func openOne(t testing.TB, p *nicPair, u *UMEM, budget uint32, completion uint32) *Socket {
	t.Helper()
	cfg := smallRings(p)
	cfg.CompletionSize = completion
	s, err := Open(u, cfg)
	must(t, err)
	setUint32(s.fd, maxTxSKBBudget, budget)
	return s
}

// numbered builds n frames from the first chunks of u.
func numbered(u *UMEM, n int) []nic.Frame {
	frames := make([]nic.Frame, n)
	for i := range frames {
		frames[i] = nic.Frame{Addr: uint64(i)*uint64(u.Pool.Chunk) + nic.Headroom, Len: 60}
		data := u.Pool.Data(frames[i])
		copy(data, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01")
		data[12], data[13], data[17] = etherType>>8, etherType&0xff, byte(i)
	}
	return frames
}

func TestOneKickSendsAWholeRing(t *testing.T) {
	inLab(t, func() {
		p := newPair(t, "a")
		u, err := NewPool(chunks, 4096, -1)
		must(t, err)
		s := openOne(t, p, u, 32, 128)
		defer s.Close()
		if n := s.Transmit(numbered(u, 128)); n != 128 {
			t.Errorf("took %d", n)
		}
		s.Kick()
		if s.Unsent() != 0 {
			t.Errorf("%d frames left after a kick, %+v", s.Unsent(), s.Stats())
		}
		var n uint32
		eventually(t, "all frames", func() bool { n += arrived(t, p, n); return n == 128 })
	})
}

func TestNothingIsSentThatCouldNotBeCompleted(t *testing.T) {
	inLab(t, func() {
		p := newPair(t, "a")
		u, err := NewPool(chunks, 4096, -1)
		must(t, err)
		s := openOne(t, p, u, 32, 64)
		defer s.Close()
		s.Transmit(numbered(u, 128))
		s.Kick()
		if s.Unsent() != 64 || s.InFlight() != 128 {
			t.Errorf("%d unsent, %d in flight, %+v", s.Unsent(), s.InFlight(), s.Stats())
		}
		taken := make([]uint64, 128)
		eventually(t, "every completion", func() bool {
			for _, c := range taken[:s.Complete(taken)] {
				if c%4096 != 0 {
					t.Errorf("completed %#x", c)
				}
			}
			s.Kick()
			return s.InFlight() == 0
		})
	})
}

func TestANICThatVanishesIsSurvived(t *testing.T) {
	inLab(t, func() {
		p := newPair(t, "a")
		u, err := NewPool(chunks, 4096, -1)
		must(t, err)
		s := openOne(t, p, u, 32, 128)
		must(t, netlink.LinkDel(p.near))
		s.Transmit(numbered(u, 10))
		s.Kick()
		if stats := s.Stats(); stats.KickDown != 1 || unix.Errno(stats.KickLastErrno) != unix.ENXIO {
			t.Errorf("stats %+v", stats)
		}
		must(t, s.Close())
		must(t, u.Close())
	})
}

func TestAClosedSocketTakesAndGivesNothing(t *testing.T) {
	inLab(t, func() {
		p := newPair(t, "a")
		u, err := NewPool(chunks, 4096, -1)
		must(t, err)
		s := openOne(t, p, u, 32, 128)
		must(t, s.Close())
		frames, some := numbered(u, 4), []uint64{0, 4096}
		if n := s.Receive(frames) + s.Transmit(frames) + s.Fill(some) + s.Complete(some); n != 0 {
			t.Errorf("moved %d", n)
		}
		s.Kick()
		if s.FD() != -1 || s.Stats() != (nic.Stats{}) {
			t.Errorf("fd %d, %+v", s.FD(), s.Stats())
		}
		must(t, s.Close())
	})
}

func TestFramesOfAnImpossibleShapeAreCounted(t *testing.T) {
	inLab(t, func() {
		p := newPair(t, "a")
		u, err := NewPool(chunks, 4096, -1)
		must(t, err)
		s := openOne(t, p, u, 32, 128)
		defer s.Close()
		frames := numbered(u, 2)
		frames[0].Len = 5000 // beyond its chunk
		s.Transmit(frames)
		s.Kick()
		s.Kick()
		if stats := s.Stats(); stats.TxInvalid != 1 || s.Unsent() != 0 {
			t.Errorf("%d unsent, %+v", s.Unsent(), stats)
		}
	})
}

func TestTheWorkersSideOfASocketDoesNotAllocate(t *testing.T) {
	inLab(t, func() {
		pa, pb := newPair(t, "a"), newPair(t, "b")
		x := openTwo(t, pa, pb, Native)
		defer x.close()
		for i := range uint32(100) {
			pa.send(t, i, 60)
		}
		if n := testing.AllocsPerRun(100, func() { x.fwd.Step(); x.a.Stats() }); n != 0 {
			t.Errorf("%v allocations a step", n)
		}
	})
}

func TestADriverIsWokenOnceForWhatLiesThere(t *testing.T) {
	inLab(t, func() {
		p := newPair(t, "a")
		u, err := NewPool(chunks, 4096, -1)
		must(t, err)
		s := openOne(t, p, u, 32, 128)
		defer s.Close()
		s.zeroCopy = true                    // for Kick: no NIC of a test does it
		must(t, netlink.LinkSetDown(p.near)) // it counts what it refuses
		s.Transmit(numbered(u, 1))
		for _, c := range []struct {
			name  string
			kicks uint64
		}{{"first", 1}, {"after one that was refused", 2}} {
			if s.Kick(); s.Stats().KickDown != c.kicks {
				t.Errorf("%s: %d kicks reached the kernel, want %d", c.name, s.Stats().KickDown, c.kicks)
			}
		}
		s.overdue = false // as if the last one had been taken
		for _, c := range []struct {
			name  string
			more  int
			kicks uint64
		}{{"with nothing new", 0, 2}, {"with nothing new, again", 0, 3}, {"with more", 1, 4}} {
			s.Transmit(numbered(u, c.more))
			if s.Kick(); s.Stats().KickDown != c.kicks {
				t.Errorf("%s: %d kicks reached the kernel, want %d", c.name, s.Stats().KickDown, c.kicks)
			}
		}
	})
}
