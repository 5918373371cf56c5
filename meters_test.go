package lvx

import (
	"net/netip"
	"testing"

	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/service"
)

// meterLab is a service with two servers, and what they have counted.
func meterLab(t *testing.T) (*service.Set, *dataplane.Roster, service.Key, []dataplane.Stat) {
	t.Helper()
	key := service.Key{Protocol: service.TCP, Address: netip.MustParseAddrPort("192.0.2.1:80")}
	v := service.Service{Key: key, Scheduler: "rr"}
	set := &service.Set{}
	edits := []service.Edit{{Op: service.AddService, Service: v}}
	for _, rip := range []string{"10.0.0.1:80", "10.0.0.2:80"} {
		edits = append(edits, service.Edit{Op: service.AddServer, Service: v, Server: service.Server{
			Address: netip.MustParseAddrPort(rip), Weight: 1, Method: service.Masq,
		}})
	}
	for _, e := range edits {
		if err := set.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	roster, err := dataplane.NewRoster([]dataplane.Link{{Name: "eth0", MTU: 1500}})
	if err != nil {
		t.Fatal(err)
	}
	if err := roster.Apply(set); err != nil {
		t.Fatal(err)
	}
	roster.Publish()
	stats := make([]dataplane.Stat, roster.Slots())
	for i, s := range roster.Servers() {
		stats[s.Slot].Conns, stats[s.Slot].InPkts = uint64(1+i), uint64(10*(1+i))
	}
	return set, roster, key, stats
}

func TestAServiceCountsWhatItsServersCount(t *testing.T) {
	_, roster, key, stats := meterLab(t)
	m := newMeters()
	if got := m.totals(roster.Servers(), stats)[key]; got.Conns != 3 || got.InPkts != 30 {
		t.Errorf("%+v", got)
	}
}

func TestAServiceKeepsTheCountsOfAServerThatIsGone(t *testing.T) {
	_, roster, key, stats := meterLab(t)
	m := newMeters()
	servers := roster.Servers()
	m.retire(key, &stats[servers[0].Slot])
	if stats[servers[0].Slot] != (dataplane.Stat{}) {
		t.Error("the slot's next server begins with counts of this one")
	}
	if got := m.totals(servers[1:], stats)[key]; got.Conns != 3 || got.InPkts != 30 {
		t.Errorf("%+v", got)
	}
}

func TestZeroBeginsAnewAndForgetsNothingElse(t *testing.T) {
	_, roster, key, stats := meterLab(t)
	m := newMeters()
	other := service.Key{Protocol: service.UDP, Address: key.Address}
	m.zero(map[service.Key]bool{other: true}, roster.Servers(), stats)
	if got := estimatorOf(m.services, key).StatsAt(m.totals(roster.Servers(), stats)[key]); got.Conns != 3 {
		t.Errorf("another service was meant: %+v", got)
	}
	m.zero(map[service.Key]bool{{}: true}, roster.Servers(), stats)
	if got := estimatorOf(m.services, key).StatsAt(m.totals(roster.Servers(), stats)[key]); got.Conns != 0 || got.InPkts != 0 {
		t.Errorf("%+v", got)
	}
}

func TestMetersOfServicesThatAreGoneAreForgotten(t *testing.T) {
	set, roster, key, stats := meterLab(t)
	m := newMeters()
	m.step(roster.Servers(), stats)
	m.retire(key, &stats[0])
	m.prune(set, roster.Servers())
	if len(m.services) != 1 || len(m.retired) != 1 {
		t.Fatalf("a service that is there was forgotten: %v %v", m.services, m.retired)
	}
	empty := &service.Set{}
	m.prune(empty, roster.Servers())
	if len(m.services) != 1 {
		t.Error("a deleted service with connections was forgotten")
	}
	m.prune(empty, nil)
	if len(m.services)+len(m.retired) != 0 {
		t.Errorf("%d and %d stay", len(m.services), len(m.retired))
	}
}

func TestRatesStandStillWithoutEstimation(t *testing.T) {
	set, roster, key, _ := meterLab(t)
	d := &Director{set: set, roster: roster, meters: newMeters()}
	for _, c := range []struct{ on, moves int }{{1, 1}, {0, 1}, {1, 2}} {
		if err := set.Apply(service.Edit{Op: service.SetSysctl, Sysctl: service.Sysctl{Name: "run_estimation", Value: c.on}}); err != nil {
			t.Fatal(err)
		}
		d.measure()
		if d.meters.ticks != c.moves {
			t.Errorf("run_estimation %d: %d seconds measured, want %d", c.on, d.meters.ticks, c.moves)
		}
	}
	if d.meters.services[key] == nil {
		t.Error("nothing was measured")
	}
}
