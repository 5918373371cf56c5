package service

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/lvx-lb/lvx/scheduler"
)

// Why an Edit is refused: the reasons of IPVS, and ErrNotSupported.
var (
	ErrServiceExists     = errors.New("service already exists")
	ErrNoService         = errors.New("no such service")
	ErrServiceNotDefined = errors.New("service not defined") // a server edit names no service
	ErrServerExists      = errors.New("server already exists")
	ErrNoServer          = errors.New("no such server")
	ErrScheduler         = errors.New("no such scheduler")
	ErrInvalid           = errors.New("invalid operation")
	ErrRange             = errors.New("number out of range")
	ErrWeight            = errors.New("the server takes connections again") // while it was drained
	ErrNotSupported      = errors.New("not supported")                      // IPVS can do it, lvx cannot
)

// maxTimeout is the longest that ipvsadm accepts: 31 days.
const maxTimeout = 31 * 24 * time.Hour

// normal returns the edit with its addresses in the one form that is compared.
func (e Edit) normal() Edit {
	e.Service.Key = e.Service.Key.normal()
	e.Server.Address = plain(e.Server.Address)
	e.Mark = e.Mark.normal()
	return e
}

// normal returns the key of a firewall mark with nothing but its family, which
// an address of :: stands for.
func (k Key) normal() Key {
	switch {
	case k.Mark == 0:
		k.Address = plain(k.Address)
		return k
	case k.Is6():
		return Key{Mark: k.Mark, Address: netip.AddrPortFrom(netip.IPv6Unspecified(), 0)}
	}
	return Key{Mark: k.Mark}
}

// checked returns the service in the form in which it is kept.
func (v Service) checked(f Features) (Service, error) {
	flags, err := scheduler.Flags(v.Scheduler, v.Flags)
	switch {
	case errors.Is(err, scheduler.ErrUnknown):
		return v, fmt.Errorf("%w: %s", ErrScheduler, v.Scheduler)
	case err != nil:
		return v, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	v.Flags = flags
	if err := v.valid(); err != nil {
		return v, err
	}
	return v, f.refuse(v.needs())
}

func (v Service) valid() error {
	switch {
	case !v.Netmask.fits(v.Is6()):
		return fmt.Errorf("%w: netmask", ErrInvalid)
	case v.Persistent < 0 || v.Persistent > maxTimeout:
		return fmt.Errorf("%w: persistence timeout", ErrInvalid)
	case v.Mark != 0:
		return nil
	case v.Protocol != TCP && v.Protocol != UDP && v.Protocol != SCTP:
		return fmt.Errorf("%w: %v", ErrInvalid, v.Protocol)
	case !unicast(v.Address.Addr()):
		return fmt.Errorf("%w: address not unicast", ErrInvalid)
	case v.OnePacket && v.Protocol != UDP:
		return fmt.Errorf("%w: one-packet scheduling is only for UDP", ErrInvalid)
	case v.Address.Port() == 0 && v.Persistent == 0:
		return fmt.Errorf("%w: zero port without persistence", ErrInvalid)
	}
	return nil
}

func (v Server) inRange() error {
	if v.Weight < 0 || v.Weight > math.MaxInt32 {
		return fmt.Errorf("%w: weight", ErrRange)
	}
	if v.Lower > v.Upper {
		return fmt.Errorf("%w: lower threshold above upper threshold", ErrRange)
	}
	if v.Upper > math.MaxInt32 {
		return fmt.Errorf("%w: upper threshold", ErrInvalid)
	}
	return nil
}

// check reports what is wrong with the server for a service named k.
func (v Server) check(k Key, f Features) error {
	a := v.Address.Addr()
	switch {
	case !unicast(a) || a.IsLinkLocalUnicast() && a.Is6():
		return fmt.Errorf("%w: address not unicast", ErrInvalid)
	case a.Is6() != k.Is6() && v.Method != Tunnel:
		return fmt.Errorf("%w: address of another family than the service", ErrInvalid)
	case v.Method > Route:
		return fmt.Errorf("%w: %v", ErrInvalid, v.Method)
	case v.Method != Masq:
		return fmt.Errorf("a forwarding method other than masquerading (-m) is %w", ErrNotSupported)
	case a.IsLoopback():
		return fmt.Errorf("a server on the director itself is %w", ErrNotSupported)
	}
	return f.refuse(v.needs())
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// unicast reports whether a names one machine. Addresses with a zone do not
// come off the wire.
func unicast(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && a != broadcast
}
