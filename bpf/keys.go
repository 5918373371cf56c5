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
	return s.add(s.Services, "service", l, proto, addr, port)
}

// RemoveService undoes AddService.
func (s *Steering) RemoveService(l Link, proto uint8, addr netip.Addr, port uint16) error {
	return s.remove(s.Services, "service", l, proto, addr, port)
}

// AddReply makes frames from a real server on a link lvx's, if they go to no
// address of the director: those from its address and port, the ICMP errors
// about what was sent there, and all fragments from its address. Port 0 is
// any port. Adding twice is adding once.
func (s *Steering) AddReply(l Link, proto uint8, addr netip.Addr, port uint16) error {
	return s.add(s.Replies, "reply", l, proto, addr, port)
}

// RemoveReply undoes AddReply.
func (s *Steering) RemoveReply(l Link, proto uint8, addr netip.Addr, port uint16) error {
	return s.remove(s.Replies, "reply", l, proto, addr, port)
}

// AddOwn names an address of the director: what real servers send there is
// the kernel's, unless it is a service.
func (s *Steering) AddOwn(addr netip.Addr) error {
	if !addr.IsValid() {
		return fmt.Errorf("add own address: %w: no address", ErrKey)
	}
	if err := put(s.Own, addrOf(addr), uint32(1)); err != nil {
		return fmt.Errorf("add own address %v: %w", addr, err)
	}
	return nil
}

// RemoveOwn undoes AddOwn.
func (s *Steering) RemoveOwn(addr netip.Addr) error {
	if err := remove(s.Own, addrOf(addr)); err != nil {
		return fmt.Errorf("remove own address %v: %w", addr, err)
	}
	return nil
}

// add puts an endpoint and, before it, its address, whose value counts the
// endpoints: fragments have no ports.
func (s *Steering) add(m *ebpf.Map, what string, l Link, proto uint8, addr netip.Addr, port uint16) error {
	e, err := endpointOf(l, proto, addr, port)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		err = addEndpoint(m, e)
	}
	if err != nil {
		return fmt.Errorf("add %s %v: %w", what, netip.AddrPortFrom(addr, port), err)
	}
	return nil
}

func addEndpoint(m *ebpf.Map, e steerEndpoint) error {
	if n, err := uses(m, e); err != nil || n > 0 {
		return err
	}
	a := addressOf(e)
	n, err := uses(m, a)
	if err != nil {
		return err
	}
	if err := put(m, &a, n+1); err != nil {
		return err
	}
	if err := put(m, &e, uint32(1)); err != nil {
		return errors.Join(err, setUses(m, a, n))
	}
	return nil
}

func (s *Steering) remove(m *ebpf.Map, what string, l Link, proto uint8, addr netip.Addr, port uint16) error {
	e, err := endpointOf(l, proto, addr, port)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		err = removeEndpoint(m, e)
	}
	if err != nil {
		return fmt.Errorf("remove %s %v: %w", what, netip.AddrPortFrom(addr, port), err)
	}
	return nil
}

func removeEndpoint(m *ebpf.Map, e steerEndpoint) error {
	if n, err := uses(m, e); err != nil || n == 0 {
		return err
	}
	if err := remove(m, &e); err != nil {
		return err
	}
	a := addressOf(e)
	n, err := uses(m, a)
	if err != nil || n == 0 {
		return err
	}
	return setUses(m, a, n-1)
}

func uses(m *ebpf.Map, e steerEndpoint) (n uint32, err error) {
	err = m.Lookup(&e, &n)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, nil
	}
	return n, err
}

func setUses(m *ebpf.Map, e steerEndpoint, n uint32) error {
	if n == 0 {
		return remove(m, &e)
	}
	return put(m, &e, n)
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

// addressOf is the key of fragments: any protocol, any port.
func addressOf(e steerEndpoint) steerEndpoint {
	e.Proto, e.Port = 0, 0
	return e
}

func addrOf(a netip.Addr) (w steerAddr) {
	b := a.As16()
	for i := range w.Word {
		w.Word[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return w
}
