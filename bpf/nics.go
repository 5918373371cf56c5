package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// MAC is an Ethernet address.
type MAC = [6]byte

// AddNIC makes steering look at frames to the MAC addresses of a NIC. For a
// NIC that it knows it is SetMACs.
func (s *Steering) AddNIC(ifindex int, macs ...MAC) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nics[ifindex] != nil {
		return s.setMACs(ifindex, macs)
	}
	first, ok := s.freeSlots()
	if !ok {
		return fmt.Errorf("add nic %d: %w: %d nics", ifindex, ErrFull, s.config.NICs)
	}
	s.nics[ifindex] = &nic{first: first, macs: map[MAC]bool{}}
	if err := s.setMACs(ifindex, macs); err != nil {
		delete(s.nics, ifindex)
		return err
	}
	return nil
}

// freeSlots finds the part of sockets that no NIC uses.
func (s *Steering) freeSlots() (first uint32, ok bool) {
	used := map[uint32]bool{}
	for _, n := range s.nics {
		used[n.first] = true
	}
	for i := range s.config.NICs {
		if first := uint32(i * s.config.Queues); !used[first] {
			return first, true
		}
	}
	return 0, false
}

// SetMACs replaces the MAC addresses of a NIC. Addresses that stay are never
// missing in between.
func (s *Steering) SetMACs(ifindex int, macs []MAC) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setMACs(ifindex, macs)
}

func (s *Steering) setMACs(ifindex int, macs []MAC) error {
	n := s.nics[ifindex]
	if n == nil {
		return fmt.Errorf("set MAC addresses of nic %d: %w", ifindex, ErrNIC)
	}
	want := map[MAC]bool{}
	for _, mac := range macs {
		if mac[0]&1 != 0 || mac == (MAC{}) {
			return fmt.Errorf("set MAC addresses of nic %d: %w: %x is not unicast", ifindex, ErrKey, mac)
		}
		want[mac] = true
	}
	var added []MAC
	for mac := range want {
		if n.macs[mac] {
			continue
		}
		if err := s.addDoor(ifindex, n, mac); err != nil {
			for _, mac := range added {
				_ = s.removeDoor(ifindex, n, mac)
			}
			return fmt.Errorf("set MAC addresses of nic %d: %w", ifindex, err)
		}
		added = append(added, mac)
	}
	for mac := range n.macs {
		if want[mac] {
			continue
		}
		if err := s.removeDoor(ifindex, n, mac); err != nil {
			return fmt.Errorf("set MAC addresses of nic %d: %w", ifindex, err)
		}
	}
	return nil
}

func (s *Steering) addDoor(ifindex int, n *nic, mac MAC) error {
	door := steerDoor{Ifindex: uint32(ifindex), Mac: mac}
	if err := put(s.objects.Doors, &door, n.first); err != nil {
		return err
	}
	n.macs[mac] = true
	return s.showDoor(door, n.first)
}

func (s *Steering) removeDoor(ifindex int, n *nic, mac MAC) error {
	delete(n.macs, mac)
	door := steerDoor{Ifindex: uint32(ifindex), Mac: mac}
	return errors.Join(s.hideDoor(door), remove(s.objects.Doors, &door))
}

// RemoveNIC detaches the program from a NIC and forgets its MAC addresses
// and sockets. Keys of its links stay until they are removed.
func (s *Steering) RemoveNIC(ifindex int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nics[ifindex]
	if n == nil {
		return nil
	}
	errs := []error{s.detach(n)}
	errs = append(errs, s.setMACs(ifindex, nil))
	for q := range s.config.Queues {
		errs = append(errs, remove(s.objects.Sockets, n.first+uint32(q)))
	}
	delete(s.nics, ifindex)
	return errors.Join(errs...)
}

// SetSocket gives the frames of a queue to the AF_XDP socket fd, which must
// be bound to that NIC and queue. A negative fd takes the socket away.
func (s *Steering) SetSocket(ifindex, queue, fd int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nics[ifindex]
	if n == nil {
		return fmt.Errorf("set socket of nic %d: %w", ifindex, ErrNIC)
	}
	if queue < 0 || queue >= s.config.Queues {
		return fmt.Errorf("set socket of nic %d: %w: queue %d of %d", ifindex, ErrKey, queue, s.config.Queues)
	}
	slot := n.first + uint32(queue)
	var err error
	if fd < 0 {
		err = remove(s.objects.Sockets, slot)
	} else {
		err = put(s.objects.Sockets, slot, uint32(fd))
	}
	if err != nil {
		return fmt.Errorf("set socket of nic %d queue %d: %w", ifindex, queue, err)
	}
	return nil
}

// Attach puts the program on a NIC, into its driver or, if generic, into the
// kernel's generic receive path. It never replaces a program: somebody
// else's makes it fail with ErrForeign. Some NICs lose their carrier for
// seconds; to wait for it is the caller's.
func (s *Steering) Attach(ifindex int, generic bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nics[ifindex]
	if n == nil {
		return fmt.Errorf("attach steering to nic %d: %w", ifindex, ErrNIC)
	}
	mode, flags := Native, link.XDPDriverMode
	if generic {
		mode, flags = Generic, link.XDPGenericMode
	}
	if n.link != nil {
		if n.mode != mode {
			return fmt.Errorf("attach steering to nic %d: %w: %v", ifindex, ErrAttached, n.mode)
		}
		return nil
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: s.objects.LvxSteer, Interface: ifindex, Flags: flags})
	if err != nil {
		return fmt.Errorf("attach steering to nic %d, %v: %w", ifindex, mode, blame(ifindex, err))
	}
	n.link, n.mode = l, mode
	return nil
}

// Detach takes the program off a NIC, even if another process holds the
// descriptors too. Without a program it does nothing.
func (s *Steering) Detach(ifindex int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nics[ifindex]
	if n == nil {
		return fmt.Errorf("detach steering from nic %d: %w", ifindex, ErrNIC)
	}
	if err := s.detach(n); err != nil {
		return fmt.Errorf("detach steering from nic %d: %w", ifindex, err)
	}
	return nil
}

func (s *Steering) detach(n *nic) error {
	if n.link == nil {
		return nil
	}
	err := n.link.Detach()
	if errors.Is(err, unix.ENOLINK) { // the NIC is gone, and the program with it
		err = nil
	}
	err = errors.Join(err, n.link.Close())
	n.link = nil
	return err
}

// put and remove are map changes whose errors name the limit that was met.
func put(m *ebpf.Map, key, value any) error {
	err := m.Update(key, value, ebpf.UpdateAny)
	if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%w: %d entries in %v", ErrFull, m.MaxEntries(), m)
	}
	return err
}

func remove(m *ebpf.Map, key any) error {
	err := m.Delete(key)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}
