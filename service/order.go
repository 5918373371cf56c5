package service

import (
	"cmp"
	"slices"
)

// Compare orders services as ipvsadm lists them: by mark, family, protocol,
// address and port.
func Compare(a, b Key) int {
	return cmp.Or(
		cmp.Compare(a.Mark, b.Mark),
		cmp.Compare(a.Address.Addr().BitLen(), b.Address.Addr().BitLen()),
		cmp.Compare(a.Protocol, b.Protocol),
		a.Address.Compare(b.Address),
	)
}

// CompareServers orders servers as ipvsadm lists them: by family, address and
// port.
func CompareServers(a, b Server) int { return a.Address.Compare(b.Address) }

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
