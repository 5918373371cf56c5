package service

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// However many edits lie between two Sets, Since tells just what differs.
func TestSinceTellsWhatDiffers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	now := NewSet(AllFeatures)
	for range 300 {
		old := now.Clone()
		for range r.IntN(200) {
			_ = now.Apply(randomEdit(r.IntN)) // some are refused
		}
		compareChanges(t, old, now)
		compareChanges(t, now, old)
		if r.IntN(20) == 0 {
			now = NewSet(AllFeatures)
			compareChanges(t, old, now)
		}
	}
	compareChanges(t, new(Set), now)
}

func compareChanges(t *testing.T, old, now *Set) {
	t.Helper()
	got := map[Key]Change{}
	for _, c := range now.Since(old) {
		got[c.Key()] = c
	}
	for _, s := range [2]*Set{old, now} {
		for _, v := range s.Services() {
			was, before := old.Find(v.Key)
			is, after := now.Find(v.Key)
			c, told := got[v.Key]
			if differ := before != after || !reflect.DeepEqual(was, is); differ && !told {
				t.Fatalf("%v: %v, then %v, and nobody tells", v.Key, was, is)
			}
			if told && ((c.Was != nil) != before || (c.Is != nil) != after || after && !reflect.DeepEqual(*c.Is, is)) {
				t.Fatalf("%v: told %+v", v.Key, c)
			}
		}
	}
}

func TestChangesComeInTheOrderOfCreation(t *testing.T) {
	s := NewSet(AllFeatures)
	if errs := s.ApplyEach(many(300)); errs != nil {
		t.Fatal(errs)
	}
	var order []Key
	for _, c := range s.Since(new(Set)) {
		order = append(order, c.Is.Key)
	}
	if !slices.EqualFunc(order, s.Services(), func(k Key, c Configured) bool { return k == c.Key }) {
		t.Error("another order than that of Services")
	}
}

func BenchmarkSince(b *testing.B) {
	s := new(Set)
	if errs := s.ApplyEach(many(4000)); errs != nil {
		b.Fatal(errs)
	}
	now := s.Clone()
	last := s.Services()[3999].Key
	if err := now.Apply(server(AddServer, last, masq("10.9.9.9:80", 2))); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if len(now.Since(s)) != 1 {
			b.Fatal("one service differs")
		}
	}
}
