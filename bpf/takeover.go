package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// ErrFDs says that inherited file descriptors do not fit this version or
// these limits.
var ErrFDs = errors.New("inherited steering does not fit")

// FDs are the file descriptors of a Steering, by which another process goes
// on with it after an upgrade or a crash.
type FDs struct {
	Program  int            // 0 = nothing to take over
	Maps     map[string]int // by name
	Tables   map[string]int // by name
	Attached map[int]int    // by interface index
}

// FDs returns the file descriptors of s, which stay its own.
func (s *Steering) FDs() FDs {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := FDs{Program: s.objects.LvxSteer.FD(), Maps: map[string]int{}, Tables: map[string]int{}, Attached: map[int]int{}}
	for name, m := range s.maps() {
		f.Maps[name] = (*m).FD()
	}
	for name, t := range s.tables {
		f.Tables[name] = t.array.FD()
	}
	for ifindex, n := range s.nics {
		if l, ok := n.link.(interface{ FD() int }); ok {
			f.Attached[ifindex] = l.FD()
		}
	}
	return f
}

// maps names the maps that the program shares with us.
func (s *Steering) maps() map[string]**ebpf.Map {
	m := &s.objects.steerMaps
	return map[string]**ebpf.Map{
		steerMapDoors: &m.Doors, steerMapServices: &m.Services, steerMapReplies: &m.Replies,
		steerMapAnyPort: &m.AnyPort, steerMapOwn: &m.Own, steerMapSockets: &m.Sockets,
		steerMapCounters: &m.Counters, steerMapEntrances: &m.Entrances,
		steerMapServiceHints: &m.ServiceHints, steerMapReplyHints: &m.ReplyHints, steerMapOwnHints: &m.OwnHints,
		steerMapZones: &m.Zones, steerMapAwaited: &m.Awaited, steerMapLarge: &m.Large,
	}
}

// takeOver makes s of inherited descriptors, which are its own from here on:
// all are closed if it fails.
func (s *Steering) takeOver(f FDs, spec *ebpf.CollectionSpec) error {
	in := f.list()
	err := s.open(f, in, spec)
	if err == nil {
		return nil
	}
	errs := []error{fmt.Errorf("take over steering: %w", err), s.Close()}
	for fd := range in {
		errs = append(errs, unix.Close(fd))
	}
	return errors.Join(errs...)
}

// inbox holds the descriptors that nothing has been made of yet.
type inbox map[int]bool

func (f FDs) list() inbox {
	in := inbox{f.Program: true}
	for _, m := range []map[string]int{f.Maps, f.Tables} {
		for _, fd := range m {
			in[fd] = true
		}
	}
	for _, fd := range f.Attached {
		in[fd] = true
	}
	return in
}

func (s *Steering) open(f FDs, in inbox, spec *ebpf.CollectionSpec) (err error) {
	delete(in, f.Program)
	if s.objects.LvxSteer, err = ebpf.NewProgramFromFD(f.Program); err != nil {
		return err
	}
	for name, m := range s.maps() {
		if *m, err = in.takeMap(f.Maps[name]); err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
		if err := spec.Maps[name].Compatible(*m); err != nil {
			return fmt.Errorf("%w: map %s: %w", ErrFDs, name, err)
		}
	}
	for name, fd := range f.Tables {
		array, err := in.takeMap(fd)
		if err != nil {
			return fmt.Errorf("table %s: %w", name, err)
		}
		s.tables[name] = &table{array: array}
	}
	if err := s.findNICs(); err != nil {
		return err
	}
	for ifindex, fd := range f.Attached {
		delete(in, fd)
		if err := s.takeLink(ifindex, fd); err != nil {
			return err
		}
	}
	return nil
}

func (in inbox) takeMap(fd int) (*ebpf.Map, error) {
	if !in[fd] {
		return nil, fmt.Errorf("%w: not handed over", ErrFDs)
	}
	delete(in, fd)
	return ebpf.NewMapFromFD(fd)
}

// findNICs reads from the map which NICs steering looks at.
func (s *Steering) findNICs() error {
	var door steerDoor
	var first uint32
	doors := s.objects.Doors.Iterate()
	for doors.Next(&door, &first) {
		i := int(door.Ifindex)
		if s.nics[i] == nil {
			s.nics[i] = &nic{first: first, macs: map[MAC]bool{}}
		}
		s.nics[i].macs[door.Mac] = true
	}
	return doors.Err()
}

func (s *Steering) takeLink(ifindex, fd int) error {
	l, err := link.NewFromFD(fd)
	if err != nil {
		return err
	}
	n := s.nics[ifindex]
	if n == nil {
		return errors.Join(fmt.Errorf("%w: attached to nic %d without MAC addresses", ErrFDs, ifindex), l.Close())
	}
	p, err := Attached(ifindex)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	n.link, n.mode = l, p.Mode
	return nil
}
