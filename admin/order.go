package admin

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/lvx-lb/lvx/service"
)

// sortStatus puts a list into the order of ipvsadm: services by mark, family,
// protocol, address and port, servers by family, address and port.
func sortStatus(list []service.Status) {
	slices.SortStableFunc(list, func(a, b service.Status) int {
		return cmp.Or(
			cmp.Compare(a.Mark, b.Mark),
			cmp.Compare(family(a.Is6()), family(b.Is6())),
			cmp.Compare(a.Protocol, b.Protocol),
			compareEndpoints(a.Address, b.Address))
	})
	for _, s := range list {
		slices.SortStableFunc(s.Servers, func(a, b service.ServerStatus) int {
			return cmp.Or(
				cmp.Compare(family(a.Address.Addr().Is6()), family(b.Address.Addr().Is6())),
				compareEndpoints(a.Address, b.Address))
		})
	}
}

func family(v6 bool) int {
	if v6 {
		return 6
	}
	return 4
}

func compareEndpoints(a, b netip.AddrPort) int {
	return cmp.Or(compareAddrs(a.Addr(), b.Addr()), cmp.Compare(a.Port(), b.Port()))
}

// compareAddrs compares 32 bits at a time by the sign of their difference:
// ipvsadm does so, and therefore lists 203.0.113.2 before 10.1.0.11.
func compareAddrs(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := 0; i < len(x); i += 4 {
		if d := int32(binary.BigEndian.Uint32(x[i:]) - binary.BigEndian.Uint32(y[i:])); d != 0 {
			return int(d)
		}
	}
	return 0
}
