package sockopt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/service"
)

// The structures of <linux/ip_vs.h> as 64-bit programs lay them out. Numbers
// are in the machine's byte order but for addresses, ports and netmasks.

// address is what names a virtual service.
type address struct {
	Protocol uint16
	_        [2]byte
	IP       [4]byte
	Port     [2]byte
	_        [2]byte
	Mark     uint32
}

// serviceRule is struct ip_vs_service_user.
type serviceRule struct {
	Address   address
	Scheduler [16]byte
	Flags     uint32
	Timeout   uint32 // of persistence, in seconds
	Netmask   [4]byte
}

// serverRule is struct ip_vs_dest_user.
type serverRule struct {
	IP     [4]byte
	Port   [2]byte
	_      [2]byte
	Flags  uint32
	Weight int32
	Upper  uint32
	Lower  uint32
}

// serverEdit is what the options about servers carry.
type serverEdit struct {
	Service serviceRule
	Server  serverRule
}

// counters is struct ip_vs_stats_user.
type counters struct {
	Conns, InPkts, OutPkts            uint32
	_                                 [4]byte
	InBytes, OutBytes                 uint64
	CPS, InPPS, OutPPS, InBPS, OutBPS uint32
	_                                 [4]byte
}

// serviceRow is struct ip_vs_service_entry.
type serviceRow struct {
	Service serviceRule
	Servers uint32
	Stats   counters
}

// serverRow is struct ip_vs_dest_entry.
type serverRow struct {
	Server                       serverRule
	Active, Inactive, Persistent uint32
	_                            [4]byte
	Stats                        counters
}

// servicesHead is struct ip_vs_get_services without its rows.
type servicesHead struct {
	Services uint32
	_        [4]byte
}

// serversHead is struct ip_vs_get_dests without its rows.
type serversHead struct {
	Service address
	Servers uint32
	_       [4]byte
}

// infoForm is struct ip_vs_getinfo.
type infoForm struct{ Version, Size, Services uint32 }

// timeoutForm is struct ip_vs_timeout_user, in seconds.
type timeoutForm struct{ TCP, TCPFin, UDP int32 }

// daemonForm is struct ip_vs_daemon_user.
type daemonForm struct {
	State     int32
	Interface [16]byte
	SyncID    int32
}

// Bits of serviceRule.Flags.
const (
	flagPersistent = 1 << iota
	flagHashed
	flagOnePacket
	flagScheduler1
	flagScheduler2
	flagScheduler3
)

// Bits of serverRule.Flags.
const (
	methodMask    = 0x7
	flagNoOutput  = 0x80
	flagInactive  = 0x100
	versionNumber = 0x010201
	versionText   = "1.2.1"
)

// decode reads a structure. The caller has checked the length.
func decode(b []byte, to any) error {
	_, err := binary.Decode(b, binary.NativeEndian, to)
	return err
}

// encode appends structures to b.
func encode(b []byte, values ...any) []byte {
	for _, v := range values {
		b, _ = binary.Append(b, binary.NativeEndian, v) // all have a fixed size
	}
	return b
}

func endpoint(ip [4]byte, port [2]byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4(ip), binary.BigEndian.Uint16(port[:]))
}

func parts(a netip.AddrPort) (ip [4]byte, port [2]byte) {
	if a.Addr().Is4() {
		ip = a.Addr().As4()
	}
	binary.BigEndian.PutUint16(port[:], a.Port())
	return ip, port
}

func (a *address) key() service.Key {
	if a.Mark != 0 {
		return service.Key{Mark: a.Mark}
	}
	return service.Key{Protocol: service.Protocol(a.Protocol), Address: endpoint(a.IP, a.Port)}
}

func addressOf(k service.Key) address {
	if k.Mark != 0 {
		return address{Protocol: unix.IPPROTO_TCP, Mark: k.Mark}
	}
	a := address{Protocol: uint16(k.Protocol)}
	a.IP, a.Port = parts(k.Address)
	return a
}

// service returns the service that the rule describes, or why there is none.
func (r *serviceRule) service() (service.Service, error) {
	end := bytes.IndexByte(r.Scheduler[:], 0)
	if end < 0 {
		return service.Service{}, fmt.Errorf("%w: name of scheduler without end", service.ErrInvalid)
	}
	s := service.Service{Key: r.Address.key(), Scheduler: string(r.Scheduler[:end]), OnePacket: r.Flags&flagOnePacket != 0}
	for i, name := range []string{"flag-1", "flag-2", "flag-3"} {
		if r.Flags&(flagScheduler1<<i) != 0 {
			s.Flags = append(s.Flags, name)
		}
	}
	if r.Flags&flagPersistent == 0 {
		return s, nil // the netmask is never looked at
	}
	s.Persistent = time.Duration(r.Timeout) * time.Second
	if s.Persistent == 0 {
		return s, fmt.Errorf("persistence for no time is %w", service.ErrNotSupported)
	}
	s.Netmask = service.IPv4Mask(binary.BigEndian.Uint32(r.Netmask[:]))
	return s, nil
}

func ruleOf(s *service.Service) serviceRule {
	r := serviceRule{Address: addressOf(s.Key), Flags: flagHashed}
	copy(r.Scheduler[:len(r.Scheduler)-1], s.Scheduler)
	if s.Persistent != 0 {
		r.Flags |= flagPersistent
		r.Timeout = uint32(min(s.Persistent/time.Second, math.MaxUint32))
	}
	binary.BigEndian.PutUint32(r.Netmask[:], s.Netmask.IPv4())
	if s.OnePacket {
		r.Flags |= flagOnePacket
	}
	for _, name := range s.Flags {
		switch {
		case name == "flag-1" || strings.HasSuffix(name, "-fallback"):
			r.Flags |= flagScheduler1
		case name == "flag-2" || strings.HasSuffix(name, "-port"):
			r.Flags |= flagScheduler2
		case name == "flag-3":
			r.Flags |= flagScheduler3
		}
	}
	return r
}

func (r *serverRule) server() service.Server {
	return service.Server{
		Address: endpoint(r.IP, r.Port), Method: service.Method(r.Flags & methodMask),
		Weight: int(r.Weight), Upper: r.Upper, Lower: r.Lower,
	}
}

func serverRuleOf(s *service.Server) serverRule {
	r := serverRule{Flags: uint32(s.Method) | flagInactive, Weight: int32(s.Weight), Upper: s.Upper, Lower: s.Lower}
	r.IP, r.Port = parts(s.Address)
	if s.Method != service.Masq {
		r.Flags |= flagNoOutput
	}
	return r
}

func serviceRowOf(s *service.Status) serviceRow {
	return serviceRow{Service: ruleOf(&s.Service), Servers: uint32(len(s.Servers)), Stats: countersOf(&s.Stats)}
}

func serverRowOf(s *service.ServerStatus) serverRow {
	return serverRow{
		Server: serverRuleOf(&s.Server), Active: s.Active, Inactive: s.Inactive, Persistent: s.Persistent,
		Stats: countersOf(&s.Stats),
	}
}

// countersOf cuts most counters to 32 bits, as this interface always did.
func countersOf(s *service.Stats) counters {
	return counters{
		Conns: uint32(s.Conns), InPkts: uint32(s.InPkts), OutPkts: uint32(s.OutPkts), InBytes: s.InBytes, OutBytes: s.OutBytes,
		CPS: uint32(s.CPS), InPPS: uint32(s.InPPS), OutPPS: uint32(s.OutPPS), InBPS: uint32(s.InBPS), OutBPS: uint32(s.OutBPS),
	}
}
