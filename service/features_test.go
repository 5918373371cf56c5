package service

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestEachFeatureIsEnabledByItself(t *testing.T) {
	dns := key(UDP, "203.0.113.100:53")
	with := func(k Key, change func(*Service)) Edit {
		e := add(k, "rr")
		change(&e.Service)
		return e
	}
	limited := masq("10.1.0.21:80", 1)
	limited.Upper, limited.Lower = 4, 2
	minute := func(v *Service) { v.Persistent = time.Minute }
	for _, test := range []struct {
		e     Edit
		needs Features
		says  string
	}{
		{with(dns, minute), Persistence, "persistent services are not supported"},
		{server(AddServer, web, limited), Thresholds, "connection thresholds are not supported"},
		{with(dns, func(v *Service) { v.OnePacket = true }), OnePacket, "one-packet scheduling is not supported"},
		{add(Key{Mark: 5}, "rr"), Marks, "services by firewall mark are not supported"},
		{server(AddServer, web, masq("10.1.0.26:0", 1)), AnyPort, "port 0 is not supported"},
		{add(key(SCTP, "203.0.113.100:132"), "rr"), SCTPServices, "SCTP services are not supported"},
		{with(key(UDP, "203.0.113.100:0"), minute), Persistence | AnyPort, "not supported"},
		{with(Key{Mark: 6}, func(v *Service) { v.OnePacket = true; minute(v) }), Persistence | OnePacket | Marks, "not supported"},
		{add(dns, "rr"), 0, ""},
	} {
		for f := range AllFeatures + 1 {
			s := NewSet(Features(f))
			if err := s.Apply(add(web, "rr")); err != nil {
				t.Fatal(err)
			}
			err := s.Clone().Apply(test.e)
			if enough := Features(f)&test.needs == test.needs; enough != (err == nil) {
				t.Errorf("%v with features %06b: %v", test.e, f, err)
			}
			if err != nil && (!errors.Is(err, ErrNotSupported) || !strings.HasSuffix(err.Error(), test.says)) {
				t.Errorf("%v says %q", test.e, err)
			}
		}
	}
}

// A mark has no address, only a family.
func TestAMarkIsNamedByItsNumberAndFamily(t *testing.T) {
	s := NewSet(Marks)
	v4, v6 := key(TCP, "203.0.113.100:80"), key(UDP, "[2001:db8::1]:80")
	v4.Mark, v6.Mark = 5, 5
	for _, e := range []Edit{add(v4, "rr"), add(v6, "rr"), server(AddServer, Key{Mark: 5}, masq("10.1.0.1:80", 1))} {
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Apply(add(Key{Mark: 5}, "rr")); !errors.Is(err, ErrServiceExists) {
		t.Error(err)
	}
	if list := s.Services(); len(list) != 2 || list[0].Key != (Key{Mark: 5}) || list[1].Key != v6.normal() || !list[1].Is6() {
		t.Errorf("%+v", s.Services())
	}
}
