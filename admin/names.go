package admin

import (
	"net/netip"

	"github.com/lvx-lb/lvx/service"
)

// Names translates between names and numbers. A nil function means that of
// the system: /etc/services, /etc/hosts and the resolver.
type Names struct {
	Addr func(host string) (netip.Addr, bool)                             // first IPv4 address of a host
	Host func(addr netip.Addr) (string, bool)                             // name of an address
	Port func(name string, proto service.Protocol) (uint16, bool)         // number of a port's name
	Name func(port uint16, proto service.Protocol) (name string, ok bool) // name of a port
}
