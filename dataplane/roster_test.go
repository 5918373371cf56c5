package dataplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/scheduler"
	"github.com/lvx-lb/lvx/service"
)

// oneOf makes an edit of a small world, so that things repeat.
func oneOf(r *rand.Rand) service.Edit {
	v := service.Service{Scheduler: []string{"rr", "wrr", "wlc"}[r.IntN(3)], Key: service.Key{
		Protocol: []service.Protocol{service.TCP, service.UDP}[r.IntN(2)], Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(8))}), uint16(80*r.IntN(2)+80)),
	}}
	return service.Edit{
		Op:      []service.Op{service.AddService, service.EditService, service.DeleteService, service.AddServer, service.AddServer, service.EditServer, service.DeleteServer}[r.IntN(7)],
		Service: v,
		Server:  service.Server{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(5))}), 80), Weight: r.IntN(3)},
	}
}

// seen is a Config with what was in it when it was made.
type seen struct {
	*Config
	servers []*Server
	pairs   []conntrack.Pair
}

// Whatever is edited, together or one by one, applied and then not published:
// services, servers and schedulers are those of the Set, and no Config changes
// once somebody has it.
func TestARosterFollowsEveryEdit(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 5))
		roster, err := NewRoster(nil)
		if err != nil {
			t.Fatal(err)
		}
		set, shown := service.NewSet(Features), []seen{}
		for range 300 {
			next := set.Clone()
			for range 1 + random.IntN(4) {
				_ = next.Apply(oneOf(random)) // some are refused
			}
			if err := roster.Apply(next); err != nil {
				t.Fatal(err)
			}
			c := roster.Config()
			shown = append(shown, seen{c, slices.Clone(c.servers), slices.Clone(c.pairs)})
			for random.IntN(3) == 0 {
				// Steering was full, say: all as it was, and then something else.
				next = set.Clone()
				for range random.IntN(4) {
					_ = next.Apply(oneOf(random))
				}
				if err := roster.Apply(next); err != nil {
					t.Fatal(err)
				}
			}
			c = roster.Config()
			roster.Publish()
			set = next
			if err := errors.Join(mirrors(roster, c, set), roster.outlive(random)); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		for _, x := range shown {
			if !slices.Equal(x.servers, x.Config.servers) || !slices.Equal(x.pairs, x.Config.pairs) {
				t.Fatal("a Config has changed")
			}
		}
	}
}

// outlive has deleted servers be forgotten at times.
func (r *Roster) outlive(random *rand.Rand) error {
	if random.IntN(5) == 0 {
		for _, s := range r.Collect() {
			if !s.Deleted() {
				return fmt.Errorf("%v is gone, and nobody deleted it", s.Address)
			}
		}
	}
	return nil
}

// mirrors compares what runs with what is wanted.
func mirrors(r *Roster, c *Config, set *service.Set) error {
	if len(c.Services) != set.Len() {
		return fmt.Errorf("%d services run, %d are wanted", len(c.Services), set.Len())
	}
	alive := 0
	for _, v := range set.Services() {
		e := packet.EndpointFrom(v.Key.Address)
		id := c.index.find(uint8(v.Protocol), &e)
		if id == noService || c.Services[id].Key != v.Key || !c.own.has(e.Addr) {
			return fmt.Errorf("%v does not run", v.Key)
		}
		s := c.Services[id]
		if len(s.servers) != len(v.Servers) || s.spec.Scheduler != v.Scheduler {
			return fmt.Errorf("%v has %d servers and %s, %d and %s are wanted", v.Key, len(s.servers), s.spec.Scheduler, len(v.Servers), v.Scheduler)
		}
		alive += len(v.Servers)
		for _, spec := range v.Servers {
			srv := r.Find(v.Key, spec.Address)
			at := slices.IndexFunc(s.servers, func(x scheduler.Server) bool { return x.ID == srv.Slot })
			if srv.deleted.Load() || srv.Address != spec || c.servers[srv.Slot] != srv || c.pairs[srv.Slot] != srv.pair() || at < 0 || s.servers[at].Weight != spec.Weight {
				return fmt.Errorf("%v: %v is not as wanted", v.Key, spec)
			}
		}
	}
	for _, s := range r.Servers() {
		if !s.deleted.Load() {
			alive--
		}
	}
	if alive != 0 {
		return fmt.Errorf("%d servers too few are alive", alive)
	}
	return nil
}

// BenchmarkRosterEdit adds a server and deletes it again, among so many.
func BenchmarkRosterEdit(b *testing.B) {
	for _, n := range []int{100, 1000, 4000} {
		b.Run(fmt.Sprint(11*n), func(b *testing.B) {
			set := service.NewSet(Features)
			for k := range n {
				e := service.Edit{Op: service.AddService, Service: service.Service{Scheduler: "rr", Key: service.Key{
					Protocol: service.TCP, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(k >> 8), byte(k)}), 80),
				}}}
				for s := range 11 {
					if err := set.Apply(e); err != nil {
						b.Fatal(err)
					}
					e.Op, e.Server = service.AddServer, service.Server{Weight: 1, Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(s), byte(k >> 8), byte(k)}), 80)}
				}
			}
			roster, _ := NewRoster(nil)
			install := func() {
				if err := roster.Apply(set); err != nil {
					b.Fatal(err)
				}
				roster.Config()
				roster.Publish()
			}
			install()
			e := service.Edit{Op: service.AddServer, Service: set.Services()[n/2].Service, Server: service.Server{Weight: 1, Address: netip.MustParseAddrPort("10.99.0.1:80")}}
			for b.Loop() {
				for _, e.Op = range []service.Op{service.AddServer, service.DeleteServer} {
					if err := set.Apply(e); err != nil {
						b.Fatal(err)
					}
					install()
				}
				roster.Collect()
			}
		})
	}
}

// lblc looks every half hour, from when its service was made, for what nobody has
// used for a day.
func TestADestinationIsForgottenByTheServicesOwnClock(t *testing.T) {
	roster, err := NewRoster(nil)
	if err != nil {
		t.Fatal(err)
	}
	const made = 10 * 60 * Second
	roster.Warm(made)
	set := service.NewSet(Features)
	v := service.Service{Scheduler: "lblc", Key: service.Key{Protocol: service.TCP, Address: netip.MustParseAddrPort("192.0.2.1:80")}}
	for _, e := range []service.Edit{
		{Op: service.AddService, Service: v},
		{Op: service.AddServer, Service: v, Server: service.Server{Address: netip.MustParseAddrPort("10.0.0.11:80"), Weight: 1}},
		{Op: service.AddServer, Service: v, Server: service.Server{Address: netip.MustParseAddrPort("10.0.0.12:80"), Weight: 1}},
	} {
		if err := set.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := roster.Apply(set); err != nil {
		t.Fatal(err)
	}
	config := roster.Config()
	roster.Publish()
	s := roster.services[v.Key]
	at := func(now Time) *Server { return s.schedule(config, &call{key: scheduler.Key{Now: uint32(now.tick())}}) }
	first := at(made + Second/10)
	first.begin(conntrack.Established)
	const day, half = 24 * 3600 * Second, 30 * 60 * Second
	if at(made+day+half-Second) != first {
		t.Error("it is forgotten before the next look")
	}
	// That was a use.
	if at(made+2*day+half-Second) != first || at(made+4*day) == first {
		t.Error("it is forgotten at another time")
	}
}
