package service

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// slowSet is a Set written down as plainly as possible: lists, searched from
// the front, and everything copied before it is changed.
type slowSet struct {
	list     []Configured
	features Features
}

func (s *slowSet) apply(e Edit) error {
	e = e.normal()
	i := slices.IndexFunc(s.list, func(c Configured) bool { return c.Key == e.Service.Key })
	switch e.Op {
	case AddService, EditService:
		if i >= 0 && e.Op == AddService {
			return ErrServiceExists
		} else if i < 0 && e.Op == EditService {
			return ErrNoService
		}
		v, err := e.Service.checked(s.features)
		if err != nil {
			return err
		}
		if i < 0 {
			s.list, i = append(s.list, Configured{}), len(s.list)
		}
		s.list[i].Service = v
	case DeleteService:
		if i < 0 {
			return ErrNoService
		}
		s.list = slices.Delete(s.list, i, i+1)
	case Clear:
		s.list = nil
	case AddServer, EditServer, DeleteServer:
		if i < 0 {
			return ErrServiceNotDefined
		}
		return s.applyToServers(&s.list[i], e)
	case Zero:
		if e.Service.Key != (Key{}) && i < 0 {
			return ErrNoService
		}
	case SetTimeouts:
	default:
		return ErrInvalid
	}
	return nil
}

func (s *slowSet) applyToServers(c *Configured, e Edit) error {
	if err := e.Server.inRange(); err != nil && e.Op != DeleteServer {
		return err
	}
	at := slices.IndexFunc(c.Servers, func(v Server) bool { return v.Address == e.Server.Address })
	if e.Op == AddServer && at >= 0 {
		return ErrServerExists
	} else if e.Op != AddServer && at < 0 {
		return ErrNoServer
	}
	if e.Op == DeleteServer {
		c.Servers = slices.Delete(slices.Clone(c.Servers), at, at+1)
		return nil
	}
	if err := e.Server.check(c.Key, s.features); err != nil {
		return err
	}
	if e.Op == AddServer {
		c.Servers, at = append([]Server{{}}, c.Servers...), 0
	}
	c.Servers = slices.Clone(c.Servers)
	c.Servers[at] = e.Server
	return nil
}

// randomEdit takes its choices from next, so that a fuzzer can make them.
func randomEdit(next func(n int) int) Edit {
	k := key([]Protocol{TCP, UDP, SCTP, 1}[next(4)*next(2)], fmt.Sprintf("203.0.113.%d:%d", next(40), 80*next(9)))
	switch next(12) {
	case 0:
		k = key(TCP, fmt.Sprintf("[2001:db8::%x]:80", next(4)))
	case 1:
		k = Key{Mark: uint32(next(3)), Address: k.Address}
	}
	v := masq(fmt.Sprintf("10.1.0.%d:%d", next(6), 80*next(2)), next(4)-1)
	v.Method = Method(next(9) / 7)
	v.Upper, v.Lower = uint32(next(3)*next(2)), uint32(next(2)*next(2))
	e := Edit{Op: Op(next(14)), Service: Service{Key: k, Scheduler: []string{"rr", "sh", "nosuch"}[next(9)/4]}, Server: v}
	if e.Op > SetTimeouts || e.Op == Clear && next(20) > 0 {
		e.Op = AddService + 3*Op(next(2))
	}
	if next(6) == 0 {
		e.Service.OnePacket, e.Service.Flags = next(2) == 0, []string{"sh-port"}
	}
	return e
}

// compareWithSlow applies edits to a Set and to its slow twin.
func compareWithSlow(t *testing.T, f Features, edits []Edit) {
	fast, slow := NewSet(f), &slowSet{features: f}
	together := NewSet(f)
	errs := together.ApplyEach(edits)
	for i, e := range edits {
		before := fast.Clone()
		got, want := fast.Apply(e), slow.apply(e)
		if (got == nil) != (want == nil) || want != nil && got.Error() != fmt.Sprintf("%v: %v", e.normal(), want) {
			t.Fatalf("edit %d, %v: got %v, the slow twin %v", i, e, got, want)
		}
		if got != nil && fast.tree != before.tree {
			t.Fatalf("edit %d, %v: refused, but something changed", i, e)
		}
		if errs != nil && fmt.Sprint(errs[i]) != fmt.Sprint(got) || errs == nil && got != nil {
			t.Fatalf("edit %d, %v: together %v, alone %v", i, e, errs, got)
		}
	}
	if fast.Len() != len(slow.list) || len(slow.list) > 0 && !reflect.DeepEqual(plainly(fast.Services()), plainly(slow.list)) {
		t.Fatalf("got\n%v\nthe slow twin\n%v", fast.Services(), slow.list)
	}
	if !reflect.DeepEqual(together.Services(), fast.Services()) {
		t.Fatal("together is not one by one")
	}
	for _, c := range slow.list {
		if found, ok := fast.Find(c.Key); !ok || found.Key != c.Key {
			t.Fatalf("%v is not found", c.Key)
		}
	}
}

// plainly makes an empty list of servers and none alike.
func plainly(list []Configured) []Configured {
	list = slices.Clone(list)
	for i := range list {
		if len(list[i].Servers) == 0 {
			list[i].Servers = nil
		}
	}
	return list
}

func TestSetsChangeLikeTheirSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 60 {
		edits := make([]Edit, r.IntN(2000))
		for i := range edits {
			edits[i] = randomEdit(r.IntN)
		}
		compareWithSlow(t, []Features{0, AllFeatures, Features(round) & AllFeatures}[round%3], edits)
	}
}

func FuzzApplyEach(f *testing.F) {
	f.Add(uint8(0), []byte("some edits, chosen by these bytes"))
	f.Add(uint8(AllFeatures), []byte{0, 0, 1, 2, 3, 0, 0, 0, 1, 1, 4, 0, 0, 2})
	f.Fuzz(func(t *testing.T, features uint8, choices []byte) {
		var edits []Edit
		next := func(n int) int {
			if len(choices) == 0 {
				return 0
			}
			c := int(choices[0]) % n
			choices = choices[1:]
			return c
		}
		for len(choices) > 0 {
			edits = append(edits, randomEdit(next))
		}
		compareWithSlow(t, Features(features)&AllFeatures, edits)
	})
}

// Hashes that agree in all their bits still are different services.
func TestATreeKeepsServicesOfOneHash(t *testing.T) {
	var all *tree
	var leaves []*leaf
	for i := range 3 * full {
		x := &leaf{hash: 7, number: uint64(i)}
		x.Key = key(TCP, fmt.Sprintf("203.0.113.1:%d", i+1))
		all, leaves = all.with(x, 0), append(leaves, x)
	}
	if n := len(all.appendTo(nil)); n != len(leaves) {
		t.Fatalf("%d of %d", n, len(leaves))
	}
	for i, x := range leaves {
		if all = all.without(x, 0); len(all.appendTo(nil)) != len(leaves)-i-1 {
			t.Fatal("one too many is gone")
		}
	}
	if all != nil {
		t.Error("the empty tree is not nil")
	}
}

func TestApplyEachTellsWhichEditFailed(t *testing.T) {
	s := new(Set)
	errs := s.ApplyEach([]Edit{add(web, "rr"), add(web, "rr"), server(AddServer, web, masq("10.1.0.1:80", 1))})
	if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], ErrServiceExists) || errs[2] != nil {
		t.Error(errs)
	}
	if errs := s.ApplyEach([]Edit{{Op: Clear}, add(web, "rr")}); errs != nil {
		t.Error(errs)
	}
}

// many are the edits that make so many services with ten servers each.
func many(services int) []Edit {
	var edits []Edit
	for i := range services {
		k := key(TCP, fmt.Sprintf("203.%d.%d.%d:80", i>>16, i>>8&255, i&255))
		edits = append(edits, add(k, "wlc"))
		for j := range 10 {
			edits = append(edits, server(AddServer, k, masq(fmt.Sprintf("10.0.%d.%d:80", j, i&255), 1)))
		}
	}
	return edits
}

func BenchmarkApplyFourThousandServicesOfTenServers(b *testing.B) {
	edits := many(4000)
	b.ReportAllocs()
	for b.Loop() {
		if errs := new(Set).ApplyEach(edits); errs != nil {
			b.Fatal(errs)
		}
	}
}

func BenchmarkAmongFourThousandServices(b *testing.B) {
	s := new(Set)
	if errs := s.ApplyEach(many(4000)); errs != nil {
		b.Fatal(errs)
	}
	last := s.Services()[3999].Key
	b.Run("clone and edit one server", func(b *testing.B) {
		for b.Loop() {
			if err := s.Clone().Apply(server(EditServer, last, masq(fmt.Sprintf("10.0.1.%d:80", 3999&255), 2))); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			s.list = nil
			s.Services()
		}
	})
}
