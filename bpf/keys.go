package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"

	"github.com/cilium/ebpf"
)

// Link is a NIC with the VLAN tags of a frame on it, outer first.
type Link struct {
	Ifindex int
	Tags    [2]uint16 // VLAN ids, 1 to 4094
	NTags   uint8     // how many of them count
}

// AddService makes frames to a service on a link lvx's: those to its address
// and port, the ICMP errors about its answers, and all fragments to its
// address. Port 0 is any port. Adding twice is adding once.
func (s *Steering) AddService(l Link, proto uint8, addr netip.Addr, port uint16) error {
	return s.change(s.services(), true, l, proto, addr, port)
}

// RemoveService undoes AddService.
func (s *Steering) RemoveService(l Link, proto uint8, addr netip.Addr, port uint16) error {
	return s.change(s.services(), false, l, proto, addr, port)
}

// AddReply makes frames from a real server on a link lvx's, if they go to no
// address of the director: those from its address and port, the ICMP errors
// about what was sent there, and all fragments from its address. Port 0 is
// any port. Adding twice is adding once.
func (s *Steering) AddReply(l Link, proto uint8, addr netip.Addr, port uint16) error {
	return s.change(s.replies(), true, l, proto, addr, port)
}

// RemoveReply undoes AddReply.
func (s *Steering) RemoveReply(l Link, proto uint8, addr netip.Addr, port uint16) error {
	return s.change(s.replies(), false, l, proto, addr, port)
}

// AddOwn names an address of the director: what real servers send there is
// the kernel's, unless it is a service.
func (s *Steering) AddOwn(addr netip.Addr) error { return s.changeOwn("add", endpoints.insert, addr) }

// RemoveOwn undoes AddOwn.
func (s *Steering) RemoveOwn(addr netip.Addr) error {
	return s.changeOwn("remove", endpoints.delete, addr)
}

func (s *Steering) changeOwn(verb string, do func(endpoints, steerEndpoint) error, addr netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := fmt.Errorf("%w: no address", ErrKey)
	if addr.IsValid() {
		err = do(s.own(), steerEndpoint{Addr: addrOf(addr)})
	}
	if err != nil {
		return fmt.Errorf("%s own address %v: %w", verb, addr, err)
	}
	return nil
}

// endpoints is one of the maps of endpoints.
type endpoints struct {
	what    string
	keys    *ebpf.Map
	hints   *ebpf.Map
	anyPort *ebpf.Map
	slot    uint32 // in anyPort
}

func (s *Steering) services() endpoints {
	return endpoints{"service", s.objects.Services, s.objects.ServiceHints, s.objects.AnyPort, 0}
}
func (s *Steering) replies() endpoints {
	return endpoints{"reply", s.objects.Replies, s.objects.ReplyHints, s.objects.AnyPort, 1}
}
func (s *Steering) own() endpoints {
	return endpoints{what: "own address", keys: s.objects.Own, hints: s.objects.OwnHints}
}

// change adds or removes an endpoint.
func (s *Steering) change(to endpoints, add bool, l Link, proto uint8, addr netip.Addr, port uint16) error {
	verb, do := "remove", endpoints.remove
	if add {
		verb, do = "add", endpoints.add
	}
	e, err := endpointOf(l, proto, addr, port)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		err = do(to, e)
	}
	if err != nil {
		return fmt.Errorf("%s %s %v: %w", verb, to.what, netip.AddrPortFrom(addr, port), err)
	}
	return nil
}

// add puts what leads to an endpoint before the endpoint itself: its address,
// whose value counts the endpoints there, because fragments have no ports;
// and the count of endpoints of any port.
func (p endpoints) add(e steerEndpoint) error {
	n, err := uses(p.keys, &e)
	if err != nil || n > 0 {
		return err
	}
	if err := p.shift(e, 1); err != nil {
		return err
	}
	if err := p.insert(e); err != nil {
		return errors.Join(err, p.shift(e, -1))
	}
	return nil
}

func (p endpoints) remove(e steerEndpoint) error {
	n, err := uses(p.keys, &e)
	if err != nil || n == 0 {
		return err
	}
	if err := p.delete(e); err != nil {
		return err
	}
	return p.shift(e, -1)
}

// shift counts an endpoint in (1) or out (-1) where frames find the way to it.
func (p endpoints) shift(e steerEndpoint, by int32) error {
	address := e
	address.Proto, address.Port = 0, 0
	n, err := uses(p.keys, &address)
	if err != nil {
		return err
	}
	switch n += uint32(by); n {
	case 0:
		err = p.delete(address)
	case 1:
		err = p.insert(address)
	}
	if n > 0 && err == nil {
		err = put(p.keys, &address, n)
	}
	if err != nil || e.Port != 0 {
		return err
	}
	if n, err = uses(p.anyPort, p.slot); err != nil {
		return err
	}
	return put(p.anyPort, p.slot, n+uint32(by))
}

func endpointOf(l Link, proto uint8, addr netip.Addr, port uint16) (steerEndpoint, error) {
	switch {
	case l.Ifindex <= 0:
		return steerEndpoint{}, fmt.Errorf("%w: nic %d", ErrKey, l.Ifindex)
	case l.NTags > 2:
		return steerEndpoint{}, fmt.Errorf("%w: %d VLAN tags", ErrKey, l.NTags)
	case proto == 0:
		return steerEndpoint{}, fmt.Errorf("%w: protocol 0", ErrKey)
	case !addr.IsValid():
		return steerEndpoint{}, fmt.Errorf("%w: no address", ErrKey)
	}
	e := steerEndpoint{
		Ifindex: uint32(l.Ifindex),
		Addr:    addrOf(addr),
		Port:    bits.ReverseBytes16(port), // network order; the object is little endian
		Proto:   proto,
		Tags:    l.NTags,
	}
	for i, id := range l.Tags[:l.NTags] {
		if id == 0 || id > 4094 {
			return steerEndpoint{}, fmt.Errorf("%w: VLAN id %d", ErrKey, id)
		}
		e.Tag[i] = id
	}
	return e, nil
}

func addrOf(a netip.Addr) (w steerAddr) {
	b := a.As16()
	for i := range w.Word {
		w.Word[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}

// Clear forgets all services, replies, zones and own addresses.
func (s *Steering) Clear() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, p := range []endpoints{s.services(), s.replies(), s.own()} {
		errs = append(errs, p.clear())
	}
	errs = append(errs, s.clearZones())
	for of := range s.objects.AnyPort.MaxEntries() {
		errs = append(errs, put(s.objects.AnyPort, of, uint32(0)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clear steering: %w", err)
	}
	return nil
}
