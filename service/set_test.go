package service

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func key(p Protocol, address string) Key {
	return Key{Protocol: p, Address: netip.MustParseAddrPort(address)}
}

var web = key(TCP, "203.0.113.100:80")

func masq(address string, weight int) Server {
	return Server{Address: netip.MustParseAddrPort(address), Method: Masq, Weight: weight}
}

func add(k Key, scheduler string) Edit {
	return Edit{Op: AddService, Service: Service{Key: k, Scheduler: scheduler}}
}

func server(op Op, k Key, v Server) Edit { return Edit{Op: op, Service: Service{Key: k}, Server: v} }

func filled(t testing.TB, edits ...Edit) *Set {
	t.Helper()
	s := new(Set)
	for _, e := range edits {
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// The first three servers of the recording kernel-lists.
func webWithThreeServers(t testing.TB) *Set {
	return filled(t, add(web, "rr"), server(AddServer, web, masq("10.1.0.11:8080", 4)),
		server(AddServer, web, masq("10.1.0.12:8080", 2)), server(AddServer, web, masq("10.1.0.13:8080", 1)))
}

func order(list []Server) string {
	var s []string
	for _, v := range list {
		s = append(s, fmt.Sprint(v.Address.Addr().As4()[3]))
	}
	return strings.Join(s, " ")
}

func TestServersStandNewestFirst(t *testing.T) {
	s := webWithThreeServers(t)
	want := func(servers string) {
		t.Helper()
		if c, ok := s.Find(web); !ok || order(c.Servers) != servers {
			t.Errorf("got %s, want %s", order(c.Servers), servers)
		}
	}
	want("13 12 11")
	for _, step := range []struct {
		e    Edit
		want string
	}{
		{server(EditServer, web, masq("10.1.0.11:8080", 0)), "13 12 11"},
		{server(DeleteServer, web, masq("10.1.0.12:8080", 0)), "13 11"},
		{server(AddServer, web, masq("10.1.0.12:8080", 1)), "12 13 11"},
	} {
		if err := s.Apply(step.e); err != nil {
			t.Fatal(err)
		}
		want(step.want)
	}
	if sorted := s.Sorted(); order(sorted[0].Servers) != "11 12 13" {
		t.Errorf("sorted: %s", order(sorted[0].Servers))
	}
	want("12 13 11")
}

func TestEditReplacesServiceAndKeepsServers(t *testing.T) {
	s := webWithThreeServers(t)
	e := add(web, "mh")
	e.Op, e.Service.Flags = EditService, []string{"flag-2", "flag-1"}
	if err := s.Apply(e); err != nil {
		t.Fatal(err)
	}
	c, _ := s.Find(web)
	if c.Scheduler != "mh" || !slices.Equal(c.Flags, []string{"mh-fallback", "mh-port"}) || len(c.Servers) != 3 {
		t.Errorf("%+v", c)
	}
	e.Service.Scheduler, e.Service.Flags = "wlc", nil
	if err := s.Apply(e); err != nil {
		t.Fatal(err)
	}
	if c, _ := s.Find(web); c.Scheduler != "wlc" || c.Flags != nil {
		t.Errorf("%+v", c)
	}
}

func TestRefusalsAreThoseOfIPVS(t *testing.T) {
	other := key(TCP, "203.0.113.100:9999")
	v6 := key(TCP, "[2001:db8::100]:80")
	weight := func(w int) Server { return masq("10.1.0.21:80", w) }
	thresholds := func(upper, lower uint32) Server {
		v := weight(1)
		v.Upper, v.Lower = upper, lower
		return v
	}
	method := func(m Method) Server { v := weight(1); v.Method = m; return v }
	with := func(k Key, change func(*Service)) Edit {
		e := add(k, "rr")
		change(&e.Service)
		return e
	}
	for _, test := range []struct {
		e    Edit
		want error
	}{
		{add(web, "nosuch"), ErrServiceExists}, // looked at before the scheduler
		{add(other, "nosuch"), ErrScheduler},
		{add(other, ""), ErrScheduler},
		{add(other, "lc "), ErrScheduler},
		{Edit{Op: EditService, Service: Service{Key: other, Scheduler: "nosuch"}}, ErrNoService},
		{Edit{Op: EditService, Service: Service{Key: web, Scheduler: "nosuch"}}, ErrScheduler},
		{Edit{Op: DeleteService, Service: Service{Key: other}}, ErrNoService},
		{Edit{Op: Zero, Service: Service{Key: other}}, ErrNoService},
		{Edit{Op: DeleteService, Service: Service{Key: Key{Mark: 5}}}, ErrNoService},
		{Edit{}, ErrInvalid},

		{server(AddServer, other, weight(1)), ErrServiceNotDefined},
		{server(EditServer, other, weight(1)), ErrServiceNotDefined},
		{server(DeleteServer, other, weight(1)), ErrServiceNotDefined},
		{server(AddServer, web, masq("10.1.0.11:8080", 1)), ErrServerExists},
		{server(EditServer, web, masq("10.9.9.9:80", 1)), ErrNoServer},
		{server(DeleteServer, web, masq("10.9.9.9:80", 1)), ErrNoServer},
		{server(DeleteServer, web, masq("10.1.0.11:80", 1)), ErrNoServer},
		{server(AddServer, web, weight(-1)), ErrRange},
		{server(AddServer, web, weight(1<<31)), ErrRange},
		{server(AddServer, web, thresholds(10, 20)), ErrRange},
		{server(EditServer, web, thresholds(0, 1)), ErrRange}, // before the server is looked for
		{server(EditServer, web, thresholds(1<<31, 0)), ErrInvalid},
		{server(AddServer, web, masq("0.0.0.0:80", 1)), ErrInvalid},
		{server(AddServer, web, masq("224.0.0.1:80", 1)), ErrInvalid},
		{server(AddServer, web, masq("255.255.255.255:80", 1)), ErrInvalid},
		{server(AddServer, web, masq("[fd00:1::11]:80", 1)), ErrInvalid},
		{server(AddServer, web, Server{}), ErrInvalid},

		{with(v6, func(v *Service) { v.Netmask = 129 }), ErrInvalid},
		{with(other, func(v *Service) { v.Netmask = 33 }), ErrInvalid},
		{with(v6, func(v *Service) { v.Netmask = IPv4Mask(0xff00ff00) }), ErrInvalid},
		{with(other, func(v *Service) { v.OnePacket = true }), ErrInvalid},
		{with(other, func(v *Service) { v.Flags = []string{"mh-port"} }), ErrInvalid},
		{with(other, func(v *Service) { v.Protocol = 1 }), ErrInvalid},
		{with(other, func(v *Service) { v.Persistent = 32 * 24 * time.Hour }), ErrInvalid},
		{add(key(TCP, "203.0.113.100:0"), "rr"), ErrInvalid},
		{add(key(TCP, "224.0.0.1:80"), "rr"), ErrInvalid},
		{add(key(TCP, "[fe80::1%eth0]:80"), "rr"), ErrInvalid},
		{add(Key{Protocol: TCP}, "rr"), ErrInvalid},

		{add(Key{Mark: 5}, "rr"), ErrNotSupported},
		{add(key(SCTP, "203.0.113.100:132"), "rr"), ErrNotSupported},
		{with(other, func(v *Service) { v.Persistent = time.Minute }), ErrNotSupported},
		{with(key(UDP, "203.0.113.100:53"), func(v *Service) { v.OnePacket = true }), ErrNotSupported},
		{server(AddServer, web, method(Route)), ErrNotSupported},
		{server(AddServer, web, method(Tunnel)), ErrNotSupported},
		{server(AddServer, web, method(9)), ErrInvalid},
		{server(AddServer, web, thresholds(20, 10)), ErrNotSupported},
		{server(AddServer, web, masq("127.0.0.1:80", 1)), ErrNotSupported},
		{server(AddServer, web, masq("10.1.0.26:0", 1)), ErrNotSupported},

		{Edit{Op: SetTimeouts, Timeouts: Timeouts{TCP: -1}}, ErrInvalid},
		{Edit{Op: SetTimeouts, Timeouts: Timeouts{UDP: 32 * 24 * time.Hour}}, ErrInvalid},
	} {
		s := webWithThreeServers(t)
		before := s.Clone()
		err := s.Apply(test.e)
		if !errors.Is(err, test.want) {
			t.Errorf("%v: got %v, want %v", test.e, err, test.want)
		}
		if !reflect.DeepEqual(s, before) {
			t.Errorf("%v: changed something", test.e)
		}
	}
}

func TestErrorsNameWhatWasTried(t *testing.T) {
	s := webWithThreeServers(t)
	direct := masq("10.1.0.21:80", 1)
	direct.Method = Route
	for _, test := range []struct {
		e    Edit
		want string
	}{
		{add(web, "rr"), "add service TCP 203.0.113.100:80: service already exists"},
		{server(AddServer, web, direct), "add server 10.1.0.21:80 of TCP 203.0.113.100:80: " +
			"a forwarding method other than masquerading (-m) is not supported"},
		{add(Key{Mark: 7}, "rr"), "add service FWM 7: services by firewall mark are not supported"},
	} {
		if err := s.Apply(test.e); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

// An address has one form: ::ffff:203.0.113.100 is 203.0.113.100.
func TestMappedAddressesAreIPv4(t *testing.T) {
	s := webWithThreeServers(t)
	mapped := key(TCP, "[::ffff:203.0.113.100]:80")
	if err := s.Apply(add(mapped, "rr")); !errors.Is(err, ErrServiceExists) {
		t.Error(err)
	}
	if err := s.Apply(server(DeleteServer, mapped, masq("[::ffff:10.1.0.11]:8080", 0))); err != nil {
		t.Error(err)
	}
}

func TestClearLeavesTimeouts(t *testing.T) {
	s := webWithThreeServers(t)
	if got := s.Timeouts(); got != DefaultTimeouts() {
		t.Errorf("%+v", got)
	}
	for _, e := range []Edit{
		{Op: SetTimeouts, Timeouts: Timeouts{TCP: time.Second}},
		{Op: SetTimeouts, Timeouts: Timeouts{UDP: 2 * time.Second}},
		{Op: Zero}, {Op: Zero, Service: Service{Key: web}}, {Op: Clear},
	} {
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Timeouts(); got != (Timeouts{time.Second, 2 * time.Minute, 2 * time.Second}) || s.Len() != 0 {
		t.Errorf("%+v, %d services", got, s.Len())
	}
}

func TestServicesStandInTheOrderOfCreationAndSortLikeIpvsadm(t *testing.T) {
	a, b, c, d := key(UDP, "203.0.113.1:53"), key(TCP, "[2001:db8::1]:80"), key(TCP, "203.0.113.9:80"), key(TCP, "203.0.113.10:79")
	s := filled(t, add(a, "rr"), add(b, "rr"), add(d, "rr"), add(c, "rr"))
	names := func(list []Configured) (keys []Key) {
		for _, v := range list {
			keys = append(keys, v.Key)
		}
		return keys
	}
	if got := names(s.Services()); !slices.Equal(got, []Key{a, b, d, c}) {
		t.Error(got)
	}
	if got := names(s.Sorted()); !slices.Equal(got, []Key{c, d, a, b}) {
		t.Error(got)
	}
	if err := s.Apply(Edit{Op: DeleteService, Service: Service{Key: b}}); err != nil {
		t.Fatal(err)
	}
	if got := names(s.Services()); !slices.Equal(got, []Key{a, d, c}) {
		t.Error(got)
	}
}

// Random edits on a chain of clones: no clone sees an edit of another.
func TestClonesDoNotShareChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := new(Set)
	var sets []*Set
	var texts []string
	for range 2000 {
		k := key(TCP, fmt.Sprintf("203.0.113.100:%d", 80+r.IntN(4)))
		v := masq(fmt.Sprintf("10.1.0.%d:80", 1+r.IntN(6)), r.IntN(4))
		e := Edit{Op: AddService + Op(r.IntN(7)), Service: Service{Key: k, Scheduler: "rr"}, Server: v}
		if e.Op == Clear && r.IntN(10) > 0 {
			continue
		}
		before := s
		s = s.Clone()
		if err := s.Apply(e); err != nil && !reflect.DeepEqual(s, before) {
			t.Fatalf("%v: changed something", err)
		}
		sets, texts = append(sets, s), append(texts, fmt.Sprintf("%+v", s.Services()))
	}
	for i := range sets {
		if got := fmt.Sprintf("%+v", sets[i].Services()); got != texts[i] {
			t.Fatalf("clone %d changed:\n%s\n%s", i, texts[i], got)
		}
	}
}
