package service

import (
	"fmt"
	"net/netip"
)

// String returns the name as ipvsadm lists it.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// String returns the name as ipvsadm lists it.
func (m Method) String() string {
	switch m {
	case Masq:
		return "Masq"
	case Local:
		return "Local"
	case Tunnel:
		return "Tunnel"
	case Route:
		return "Route"
	}
	return fmt.Sprintf("method %d", uint8(m))
}

// String names the service in errors and logs.
func (k Key) String() string {
	if k.Mark != 0 {
		return fmt.Sprintf("FWM %d", k.Mark)
	}
	return fmt.Sprintf("%v %v", k.Protocol, k.Address)
}

// Is6 reports whether the service is an IPv6 one. A firewall mark is one if
// its Address is.
func (k Key) Is6() bool { return k.Address.Addr().Is6() && !k.Address.Addr().Is4In6() }

var opNames = map[Op]string{
	AddService: "add service", EditService: "edit service", DeleteService: "delete service",
	Clear: "clear", AddServer: "add server", EditServer: "edit server", DeleteServer: "delete server",
	Zero: "zero", SetTimeouts: "set timeouts", SetSysctl: "set sysctl",
	AddMark: "add mark rule", DeleteMark: "delete mark rule", ClearMarks: "clear mark rules",
}

// String returns what the edit does, in words.
func (o Op) String() string {
	if name := opNames[o]; name != "" {
		return name
	}
	return fmt.Sprintf("operation %d", uint8(o))
}

// String returns what is done to what.
func (e Edit) String() string {
	switch e.Op {
	case AddServer, EditServer, DeleteServer:
		return fmt.Sprintf("%v %v of %v", e.Op, e.Server.Address, e.Service.Key)
	case Zero:
		if e.Service.Key == (Key{}) {
			return "zero all services"
		}
	case Clear, SetTimeouts, ClearMarks:
		return e.Op.String()
	case AddMark, DeleteMark:
		return fmt.Sprintf("%v %v", e.Op, e.Mark)
	case SetSysctl:
		return fmt.Sprintf("%v %s", e.Op, e.Sysctl.Name)
	}
	return fmt.Sprintf("%v %v", e.Op, e.Service.Key)
}

// plain removes the IPv6 clothing of an IPv4 address.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
