package route

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
)

// diary keeps what a mirror told.
type diary[T any] struct {
	mu  sync.Mutex
	all []T
}

func (d *diary[T]) add(v T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, v)
}

// hears waits for something told that ok likes.
func (d *diary[T]) hears(t *testing.T, what string, ok func(T) bool) {
	t.Helper()
	eventually(t, what, func() (any, bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return slices.Clone(d.all), slices.ContainsFunc(d.all, ok)
	})
}

func TestNeighbourIsResolvedAndItsNewMACFollowed(t *testing.T) {
	for _, who := range []string{"10.0.0.2", "2001:db8::2"} {
		t.Run(who, func(t *testing.T) {
			l := newLab(t)
			l.run(l.far, "ip link set far address 02:00:00:00:00:0a")
			told := &diary[Neighbour]{}
			m := l.open(Config{OnNeighbour: told.add})
			near := l.index(m, "near")
			if n := m.Neighbour(near, ip(who)); n.State != Unknown {
				t.Fatalf("before: %+v", n)
			}
			if err := m.Resolve(near, ip(who)); err != nil {
				t.Fatal(err)
			}
			is := func(last byte) func(Neighbour) bool {
				return func(n Neighbour) bool {
					return n == Neighbour{near, ip(who), [6]byte{2, 0, 0, 0, 0, last}, Usable}
				}
			}
			told.hears(t, "the MAC address", is(0x0a))
			if n := m.Neighbour(near, ip(who)); !is(0x0a)(n) {
				t.Errorf("neighbour is %+v", n)
			}
			far := l.openAt(l.far, Config{})
			l.run(l.far, "ip link set far address 02:00:00:00:00:0b")
			index := l.index(far, "far")
			eventually(t, "far's new address", func() (any, bool) {
				link, err := far.Link(index)
				return link, err == nil && link.MAC[5] == 0x0b
			})
			// Linux ignores a gratuitous ARP that comes within locktime, one
			// second, of the last answer; so it is said until it is believed.
			eventually(t, "the new MAC address", func() (any, bool) {
				if err := far.Announce(index, ip(who)); err != nil {
					t.Fatal(err)
				}
				n := m.Neighbour(near, ip(who))
				return n, is(0x0b)(n)
			})
			told.hears(t, "the new MAC address", is(0x0b))
		})
	}
}

func TestNeighbourThatDoesNotAnswerFails(t *testing.T) {
	l := newLab(t)
	told := &diary[Neighbour]{}
	m := l.open(Config{OnNeighbour: told.add})
	near := l.index(m, "near")
	for _, who := range []string{"10.0.0.99", "2001:db8::99"} {
		if err := m.Resolve(near, ip(who)); err != nil {
			t.Fatal(err)
		}
	}
	for _, who := range []string{"10.0.0.99", "2001:db8::99"} {
		told.hears(t, "failure of "+who, func(n Neighbour) bool { return n.IP == ip(who) && n.State == Failed })
	}
}

func TestDeadNeighbourIsNoticedWithoutTraffic(t *testing.T) {
	l := newLab(t)
	l.try(l.near, "sysctl -qw net.ipv4.neigh.near.interval_probe_time_ms=200")
	l.run(l.near, "sysctl -qw net.ipv4.neigh.near.base_reachable_time_ms=500", "sysctl -qw net.ipv4.neigh.near.delay_first_probe_time=1",
		"sysctl -qw net.ipv4.neigh.near.retrans_time_ms=100")
	told := &diary[Neighbour]{}
	m := l.open(Config{OnNeighbour: told.add})
	near := l.index(m, "near")
	if err := m.Resolve(near, ip("10.0.0.2")); err != nil {
		t.Fatal(err)
	}
	told.hears(t, "an answer", func(n Neighbour) bool { return n.State == Usable })
	l.run(l.far, "ip addr del 10.0.0.2/24 dev far")
	told.hears(t, "its death", func(n Neighbour) bool { return n.State == Failed && n.MAC == [6]byte{} })
	l.run(l.far, "ip addr add 10.0.0.2/24 dev far")
	eventually(t, "its return", func() (any, bool) {
		n := m.Neighbour(near, ip("10.0.0.2"))
		return n, n.State == Usable
	})
}

func TestKernelKeepsNeighbourUntilRelease(t *testing.T) {
	l := newLab(t)
	m := l.open(Config{})
	near := l.index(m, "near")
	if err := m.Resolve(near, ip("10.0.0.2")); err != nil {
		t.Fatal(err)
	}
	shows := func(word string, want bool) {
		t.Helper()
		eventually(t, word, func() (any, bool) {
			out := l.output(l.near, "ip neigh show 10.0.0.2")
			return out, out != "" && strings.Contains(out, word) == want
		})
	}
	shows("lladdr", true)
	if !strings.Contains(l.output(l.near, "ip neigh show 10.0.0.2"), "managed") {
		t.Skip("the kernel does not know managed neighbours (Linux 5.16)")
	}
	m.Release(near, ip("10.0.0.2"))
	shows("managed", false)
	if err := m.Resolve(near, ip("10.0.0.2")); err != nil {
		t.Fatal(err)
	}
	l.run(l.near, "ip neigh flush all; ip neigh del 10.0.0.2 dev near || true")
	shows("managed", true) // upkeep asked again
	_ = m.Close()
	shows("managed", false)
}

func TestPermanentNeighbourStaysPermanent(t *testing.T) {
	l := newLab(t)
	l.run(l.near, "ip neigh add 10.0.0.50 lladdr 02:00:00:00:00:50 dev near nud permanent")
	m := l.open(Config{})
	near := l.index(m, "near")
	if err := m.Resolve(near, ip("10.0.0.50")); err != nil {
		t.Fatal(err)
	}
	if n := m.Neighbour(near, ip("10.0.0.50")); n.State != Usable || n.MAC != [6]byte{2, 0, 0, 0, 0, 0x50} {
		t.Errorf("neighbour is %+v", n)
	}
	if out := l.output(l.near, "ip neigh show 10.0.0.50"); !strings.Contains(out, "PERMANENT") {
		t.Errorf("the kernel has %s", out)
	}
}

func TestNeighboursComeBackAfterALinkFlap(t *testing.T) {
	l := newLab(t)
	told := &diary[Neighbour]{}
	m := l.open(Config{OnNeighbour: told.add})
	near := l.index(m, "near")
	if err := m.Resolve(near, ip("10.0.0.2")); err != nil {
		t.Fatal(err)
	}
	usable := func() (any, bool) { n := m.Neighbour(near, ip("10.0.0.2")); return n, n.State == Usable }
	eventually(t, "usable", usable)
	l.run(l.near, "ip link set near down")
	told.hears(t, "that it is forgotten", func(n Neighbour) bool { return n.IP == ip("10.0.0.2") && n.State == Unknown })
	l.run(l.near, "ip link set near up")
	eventually(t, "usable again", usable)
}

func TestQuestionsAreLimited(t *testing.T) {
	l := newLab(t)
	m := l.open(Config{})
	near := l.index(m, "near")
	var err error
	a := ip("10.0.0.10")
	for i := 0; i < 4000 && err == nil; i++ {
		a = a.Next()
		err = m.Resolve(near, a)
	}
	if !errors.Is(err, ErrBusy) {
		t.Fatalf("4000 questions one after the other: %v", err)
	}
	eventually(t, "the postponed one", func() (any, bool) {
		n := m.Neighbour(near, a)
		return n, n.State != Unknown
	})
	a = ip("2001:db8::1:0")
	for range maxHops {
		a = a.Next()
		if err := m.Resolve(near, a); errors.Is(err, ErrTooMany) {
			return
		}
	}
	t.Errorf("no limit on neighbours")
}

func TestNonsenseIsNotResolved(t *testing.T) {
	l := newLab(t)
	m := l.open(Config{})
	for _, a := range []netip.Addr{{}, ip("0.0.0.0"), ip("::"), ip("224.0.0.1"), ip("ff02::1")} {
		if err := m.Resolve(1, a); !errors.Is(err, ErrInvalid) {
			t.Errorf("resolve %v: %v", a, err)
		}
	}
	if err := m.Resolve(0, ip("10.0.0.2")); !errors.Is(err, ErrInvalid) {
		t.Errorf("resolve on no link: %v", err)
	}
}
