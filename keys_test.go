package lvx

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/lvx-lb/lvx/bpf"
	"github.com/lvx-lb/lvx/route"
)

// told records what steering is told.
type told struct {
	calls  []string
	refuse string
}

func (s *told) do(verb string) func(string) error {
	return func(x string) error {
		if x == s.refuse {
			return errors.New("refused")
		}
		s.calls = append(s.calls, verb+x)
		return nil
	}
}

func set(keys ...string) map[string]bool {
	m := map[string]bool{}
	for _, k := range keys {
		m[k] = true
	}
	return m
}

func TestOnlyDifferencesAreTold(t *testing.T) {
	var s told
	have, want := set("a", "b"), set("b", "c")
	if err := errors.Join(missing(have, want, s.do("+")), surplus(have, want, s.do("-"))); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.calls, []string{"+c", "-a"}) || !maps.Equal(have, want) {
		t.Errorf("told %v, have %v", s.calls, have)
	}
}

func TestAKeyThatWasRefusedIsMissingStill(t *testing.T) {
	s := told{refuse: "x"}
	have := set()
	if err := missing(have, set("x"), s.do("+")); err == nil || have["x"] {
		t.Errorf("%v, have %v", err, have)
	}
	s.refuse = ""
	if err := missing(have, set("x"), s.do("+")); err != nil || !have["x"] {
		t.Errorf("again: %v, have %v", err, have)
	}
}

func TestANICThatCannotWorkIsRefusedWithTheRemedy(t *testing.T) {
	good := route.Link{Name: "eth0", Ethernet: true, Up: true, MTU: 1500}
	if why := unusable(good); why != "" {
		t.Fatalf("a NIC is refused: %s", why)
	}
	for name, spoil := range map[string]func(*route.Link){
		"the loopback device carries no clients":                                                 func(l *route.Link) { l.Loopback = true },
		"a bond has no AF_XDP of its own; name its members instead":                              func(l *route.Link) { l.Kind = "bond" },
		"a bridge has no AF_XDP of its own; name its members, or take the NIC out of the bridge": func(l *route.Link) { l.Kind = "bridge" },
		"it belongs to a bridge, which would never see its frames; take it out of the bridge":    func(l *route.Link) { l.MasterKind = "bridge" },
		"a tunnel device has no Ethernet frames; name the NIC below it":                          func(l *route.Link) { l.Tunnel, l.Ethernet = true, false },
		"it has no Ethernet frames":                                                              func(l *route.Link) { l.Ethernet = false },
		"its MTU is 3499, at most 3498 fits; run: ip link set eth0 mtu 1500":                     func(l *route.Link) { l.MTU = maxMTU + 1 },
		"it is down; run: ip link set eth0 up":                                                   func(l *route.Link) { l.Up = false },
	} {
		l := good
		spoil(&l)
		if got := unusable(l); got != name {
			t.Errorf("%q, want %q", got, name)
		}
	}
}

func TestAVethWithVLANsIsSaidToHideTags(t *testing.T) {
	l := links{
		nics: []nicFacts{{name: "v0", driver: "veth"}, {name: "v1", driver: "veth"}, {name: "e0", driver: "igb"}},
		list: []linkFacts{
			{nic: 0, key: bpf.Link{NTags: 1}}, {nic: 0, key: bpf.Link{NTags: 1}}, {nic: 1}, {nic: 2, key: bpf.Link{NTags: 1}},
		},
	}
	if got := l.unshown(); !slices.Equal(got, []string{"v0"}) {
		t.Errorf("%v", got)
	}
}
