package lvx

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/lvx-lb/lvx/rss"
)

// fakePlacing is a NIC that takes any fields, or only all four.
type fakePlacing struct {
	spread  rss.Spread
	fields  map[rss.Kind]rss.Fields
	refuses bool
	gone    bool
	look    func()
}

func newPlacing(table int, refuses bool) *fakePlacing {
	n := &fakePlacing{fields: map[rss.Kind]rss.Fields{}, refuses: refuses, look: func() {}}
	n.spread = rss.Spread{Queues: make([]uint32, table), Key: []byte(strings.Repeat("k", 40)), Function: rss.FunctionToeplitz}
	for i := range n.spread.Queues {
		n.spread.Queues[i] = uint32(i % 4)
	}
	for _, k := range rss.Kinds {
		n.fields[k] = rss.Source | rss.Destination
	}
	return n
}

func (n *fakePlacing) alive() error {
	if n.gone {
		return syscall.ENODEV
	}
	return nil
}

func (n *fakePlacing) Spread() (rss.Spread, error)           { return n.spread, n.alive() }
func (n *fakePlacing) Fields(k rss.Kind) (rss.Fields, error) { return n.fields[k], n.alive() }
func (n *fakePlacing) SetSpread(s rss.Spread) error          { n.look(); n.spread = s; return n.alive() }
func (n *fakePlacing) SetFields(k rss.Kind, f rss.Fields) error {
	if n.refuses && f != rss.Source|rss.Destination {
		return syscall.EINVAL
	}
	n.look()
	n.fields[k] = f
	return n.alive()
}

// placingLab is settingsLab with four queues on each NIC; eth1 is private.
func placingLab(t *testing.T, refuses bool) (*settings, *fakeMachine, []rss.Member) {
	t.Helper()
	s, m, l, _ := settingsLab(t)
	m.placing = map[string]*fakePlacing{"eth0": newPlacing(512, false), "eth1": newPlacing(128, refuses)}
	for _, n := range m.placing {
		n.look = func() { m.look(false) }
	}
	members, err := l.members([]string{"eth0.10", "eth0.20"}, []int{4, 4}, m)
	if err != nil {
		t.Fatal(err)
	}
	return s, m, members
}

func (m *fakeMachine) wantPlacing(t *testing.T, when string, eth0, eth1 rss.Fields) {
	t.Helper()
	for name, want := range map[string]rss.Fields{"eth0": eth0, "eth1": eth1} {
		n := m.placing[name]
		for _, k := range rss.Kinds {
			if n.fields[k] != want {
				t.Errorf("%s: %s hashes %v of %v, want %v", when, name, n.fields[k], k, want)
			}
		}
		if changed := n.spread.Key[0] != 'k'; changed != (want == rss.Source || want == rss.Destination) {
			t.Errorf("%s: the key of %s begins with %#x", when, name, n.spread.Key[0])
		}
	}
}

const allFields = rss.Source | rss.Destination

func TestNICsArePlacedByTheClientAndPutBack(t *testing.T) {
	s, m, members := placingLab(t, false)
	placed, why, err := s.place(m, members, 3)
	if placed == nil || why != nil || err != nil {
		t.Fatalf("%v, %v", why, err)
	}
	m.wantPlacing(t, "while it runs", rss.Source, rss.Destination)
	if m.unnoted > 0 {
		t.Errorf("%d changes before they were noted", m.unnoted)
	}
	if err := s.restore(m); err != nil {
		t.Fatal(err)
	}
	m.wantPlacing(t, "at the end", allFields, allFields)
	if _, err := os.Stat(m.state); err == nil {
		t.Error("the notes are still there")
	}
}

func TestANextStartPutsPlacingBackAfterACrash(t *testing.T) {
	s, m, members := placingLab(t, false)
	if _, why, err := s.place(m, members, 2); why != nil || err != nil {
		t.Fatal(why, err)
	}
	next := reopen(t, Config{Name: "lvx0", StateDir: strings.TrimSuffix(s.path, "/nic.json")})
	if !reflect.DeepEqual(next.note.Placing, s.note.Placing) {
		t.Errorf("noted %v, read %v", s.note.Placing, next.note.Placing)
	}
	if err := next.restore(m); err != nil {
		t.Fatal(err)
	}
	m.wantPlacing(t, "after the next start", allFields, allFields)
}

func TestOneNICThatRefusesLeavesBothAsTheyWere(t *testing.T) {
	s, m, members := placingLab(t, true)
	placed, why, err := s.place(m, members, 2)
	if placed != nil || !errors.Is(why, rss.ErrSide) || !strings.Contains(why.Error(), "eth1") || err != nil {
		t.Errorf("%v, %v", why, err)
	}
	m.wantPlacing(t, "after it", allFields, allFields)
	if s.note.Placing != nil {
		t.Error("it is still noted")
	}
}

func TestANICThatCannotTellIsLeftAlone(t *testing.T) {
	s, m, members := placingLab(t, false)
	m.placing["eth1"].gone = true
	placed, why, err := s.place(m, members, 2)
	if placed != nil || !errors.Is(why, rss.ErrSide) || err != nil || s.note.Placing != nil {
		t.Errorf("%v, %v, %v", why, err, s.note.Placing)
	}
	m.placing["eth1"].gone = false
	m.wantPlacing(t, "after it", allFields, allFields)
}

func TestAPlacedNICThatIsGoneHoldsNothingUp(t *testing.T) {
	s, m, members := placingLab(t, false)
	if _, why, err := s.place(m, members, 2); why != nil || err != nil {
		t.Fatal(why, err)
	}
	m.placing["eth0"].gone = true
	if err := s.restore(m); err != nil {
		t.Error(err)
	}
	m.placing["eth0"] = newPlacing(4, false)
	m.wantPlacing(t, "at the end", allFields, allFields)
}

func TestOnlyNICsOfOneSideCanPlace(t *testing.T) {
	_, m, l, _ := settingsLab(t)
	m.placing = map[string]*fakePlacing{"eth0": newPlacing(4, false), "eth1": newPlacing(4, false)}
	cases := map[string]struct {
		public []string
		works  bool
	}{
		"two sides":                     {[]string{"eth0.10", "eth0.20"}, true},
		"the other way round":           {[]string{"eth1"}, true},
		"one NIC with both by VLAN":     {[]string{"eth0.10"}, false},
		"one network":                   {[]string{"eth0.10", "eth0.20", "eth1"}, false},
		"nobody said where clients are": {nil, false},
	}
	for name, c := range cases {
		members, err := l.members(c.public, []int{2, 2}, m)
		if c.works != (err == nil) || err != nil && !errors.Is(err, rss.ErrSide) {
			t.Errorf("%s: %v, %v", name, members, err)
		}
	}
}
