package bpf

import (
	"errors"

	"github.com/cilium/ebpf"
)

// insert makes e a key, if it is none. The program looks at the hint first:
// what it says is true at any time between the changes.
func (p endpoints) insert(e steerEndpoint) error {
	n, err := uses(p.keys, &e)
	if err != nil || n > 0 {
		return err
	}
	if err := put(p.keys, &e, uint32(1)); err != nil {
		return err
	}
	return p.hint(e, 1)
}

// delete undoes insert.
func (p endpoints) delete(e steerEndpoint) error {
	n, err := uses(p.keys, &e)
	if err != nil || n == 0 {
		return err
	}
	if err := remove(p.keys, &e); err != nil {
		return err
	}
	return p.hint(e, -1)
}

// clear deletes all keys, and all hints: somebody who crashed may have written
// one without the other.
func (p endpoints) clear() error {
	for {
		var e steerEndpoint
		err := p.keys.NextKey(nil, &e)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			break
		}
		if err == nil {
			err = remove(p.keys, &e)
		}
		if err != nil {
			return err
		}
	}
	for at := range p.hints.MaxEntries() {
		if err := p.hints.Put(at, &steerHint{}); err != nil {
			return err
		}
	}
	return nil
}

// hint counts key e in (1) or out (-1) in its hint. A key that is there stays
// while others come, as the program may read while we write: half a key is no
// frame's.
func (p endpoints) hint(e steerEndpoint, by int32) error {
	at, h := e.hash()%p.hints.MaxEntries(), steerHint{}
	if err := p.hints.Lookup(at, &h); err != nil {
		return err
	}
	h.Keys += uint32(by)
	switch {
	case h.Keys == 0:
		h = steerHint{}
	case by < 0 && h.Key == e:
		h.Key = steerEndpoint{}
	case by > 0 && h.Keys == 1:
		h.Key = e
	case by > 0:
		h.Several = 1
	}
	return p.hints.Put(at, &h)
}

// hash is the same as that of the program.
func (e *steerEndpoint) hash() (hash uint32) {
	w, long := e.Addr.Word, uint64(0)
	for _, word := range [4]uint64{
		uint64(e.Ifindex) | uint64(e.Tag[0])<<32 | uint64(e.Tag[1])<<48,
		uint64(w[0]) | uint64(w[1])<<32,
		uint64(w[2]) | uint64(w[3])<<32,
		uint64(e.Port) | uint64(e.Proto)<<16 | uint64(e.Tags)<<24,
	} {
		long = (long ^ word) * 0x9e3779b97f4a7c15
		long ^= long >> 32
	}
	return uint32(long)
}

func uses(m *ebpf.Map, key any) (n uint32, err error) {
	err = m.Lookup(key, &n)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, nil
	}
	return n, err
}

// showDoor puts a door where the program finds it without asking the map, if
// the place is free.
func (s *Steering) showDoor(door steerDoor, first uint32) error {
	e, at, err := s.entrance(door)
	if err != nil || e.First != 0 {
		return err
	}
	return s.objects.Entrances.Put(at, &steerEntrance{Door: door, First: first + 1})
}

// hideDoor undoes showDoor.
func (s *Steering) hideDoor(door steerDoor) error {
	e, at, err := s.entrance(door)
	if err != nil || e.Door != door {
		return err
	}
	return s.objects.Entrances.Put(at, &steerEntrance{})
}

// entrance returns the place of a door and what is there.
func (s *Steering) entrance(door steerDoor) (e steerEntrance, at uint32, err error) {
	at = (door.Ifindex*31 ^ uint32(door.Mac[4])*7 ^ uint32(door.Mac[5])) % s.objects.Entrances.MaxEntries()
	return e, at, s.objects.Entrances.Lookup(at, &e)
}
