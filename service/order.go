package service

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// Compare orders services as ipvsadm lists them: by mark, family, protocol,
// address and port.
func Compare(a, b Key) int {
	return cmp.Or(
		difference(a.Mark, b.Mark),
		cmp.Compare(a.Address.Addr().BitLen(), b.Address.Addr().BitLen()),
		cmp.Compare(a.Protocol, b.Protocol),
		compareAddress(a.Address, b.Address),
	)
}

// CompareServers orders servers as ipvsadm lists them: by family, address and
// port.
func CompareServers(a, b Server) int {
	return cmp.Or(
		cmp.Compare(a.Address.Addr().BitLen(), b.Address.Addr().BitLen()),
		compareAddress(a.Address, b.Address),
	)
}

func compareAddress(a, b netip.AddrPort) int {
	words, others := a.Addr().As16(), b.Addr().As16()
	for i := 0; i < len(words); i += 4 {
		if d := difference(binary.BigEndian.Uint32(words[i:]), binary.BigEndian.Uint32(others[i:])); d != 0 {
			return d
		}
	}
	return cmp.Compare(a.Port(), b.Port())
}

// difference is negative if a comes before b. ipvsadm cuts it to 32 bits, so
// 203.0.113.2, being more than 2^31 above 10.1.0.11, comes before it.
func difference(a, b uint32) int { return int(int32(a - b)) }

// SortStatus puts a list of services and their servers into the order in
// which ipvsadm lists them.
func SortStatus(list []Status) {
	slices.SortStableFunc(list, func(a, b Status) int { return Compare(a.Key, b.Key) })
	for _, s := range list {
		slices.SortStableFunc(s.Servers, func(a, b ServerStatus) int { return CompareServers(a.Server, b.Server) })
	}
}

// WithoutStatus returns the configuration in a list of services.
func WithoutStatus(list []Status) []Configured {
	plain := make([]Configured, len(list))
	for i, s := range list {
		plain[i].Service = s.Service
		for _, v := range s.Servers {
			plain[i].Servers = append(plain[i].Servers, v.Server)
		}
	}
	return plain
}
