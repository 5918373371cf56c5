package dataplane

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// Servers come, go and share endpoints, and slots change hands.
func TestServersAreFoundByTheirEndpointsAfterEveryEdit(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 7))
	roster, err := NewRoster(nil)
	if err != nil {
		t.Fatal(err)
	}
	settings := service.DefaultSettings()
	settings.NatIcmpSend = 1
	roster.SetSettings(settings)
	set := service.NewSet(Features)
	found := 0
	for range 2000 {
		if set.Apply(oneOf(random)) != nil {
			continue
		}
		if err := roster.Apply(set); err != nil {
			t.Fatal(err)
		}
		for _, s := range roster.Servers() {
			s.SetLinks(1 << (s.Slot % 2))
		}
		c := roster.Config()
		roster.Publish()
		for _, proto := range []uint8{packet.TCP, packet.UDP} {
			for host := range byte(5) {
				at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, host}), 80)
				e := packet.EndpointFrom(at)
				for k := range 4 {
					link, deleted := LinkID(k%2), k > 1
					want := slices.ContainsFunc(roster.Servers(), func(s *Server) bool {
						return (deleted || !s.Deleted()) && s.service.proto == proto && s.AnswersFrom() == at && s.Links() == 1<<link
					})
					if got := c.serves(proto, &e, link, deleted); got != want {
						t.Fatalf("protocol %d, %v over link %d, deleted too: %t: %t, want %t", proto, at, link, deleted, got, want)
					}
					if want {
						found++
					}
				}
			}
		}
		if random.IntN(3) == 0 {
			roster.Collect()
		}
	}
	if found == 0 {
		t.Error("no server was ever there")
	}
}
