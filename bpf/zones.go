package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// Zone is a prefix of addresses, of which some ports of one protocol are
// marked for services. For an address the zone of the longest prefix counts;
// one without ports says that there are none.
type Zone struct {
	Protocol uint8
	Prefix   netip.Prefix
	Ports    [][2]uint16 // first and last one, in their order and apart
}

// maxRanges is how many ranges of ports a zone has room for.
const maxRanges = len(steerRanges{}.Range)

// SetZones replaces the zones of a link: frames to their ports are lvx's, the
// ICMP errors about answers from there, and all fragments to their addresses.
// What the old zones and the new ones both name is steered all the time.
func (s *Steering) SetZones(l Link, zones []Zone) error {
	want, err := zonesOf(l, zones)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		err = s.replaceZones(l, want)
	}
	if err != nil {
		return fmt.Errorf("set zones: %w", err)
	}
	return nil
}

// replaceZones adds before it removes. Nobody looks for a zone while the count
// of them is 0.
func (s *Steering) replaceZones(l Link, want map[steerZone]steerRanges) error {
	have := s.zones[l]
	if have == nil {
		have = map[steerZone]steerRanges{}
		s.zones[l] = have
	}
	if err := s.countZones(len(want)); err != nil {
		return err
	}
	for z, r := range want {
		if old, ok := have[z]; ok && old == r {
			continue
		}
		if err := put(s.objects.Zones, &z, &r); err != nil {
			return err
		}
		have[z] = r
	}
	for z := range have {
		if _, ok := want[z]; ok {
			continue
		}
		if err := remove(s.objects.Zones, &z); err != nil {
			return err
		}
		delete(have, z)
	}
	return s.countZones(0)
}

// countZones tells the program how many zones there are, and are to come.
func (s *Steering) countZones(more int) error {
	for _, have := range s.zones {
		more += len(have)
	}
	return put(s.objects.AnyPort, uint32(2), uint32(more))
}

// clearZones forgets the zones of all links, those of another process too.
func (s *Steering) clearZones() error {
	clear(s.zones)
	for {
		var z steerZone
		err := s.objects.Zones.NextKey(nil, &z)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err == nil {
			err = remove(s.objects.Zones, &z)
		}
		if err != nil {
			return err
		}
	}
}

// place is where a zone lies.
type place struct {
	proto  uint8
	prefix netip.Prefix
}

// zonesOf returns the zones as the program reads them, with those for
// fragments.
func zonesOf(l Link, zones []Zone) (map[steerZone]steerRanges, error) {
	all, ports := map[steerZone]steerRanges{}, map[place][][2]uint16{}
	add := func(z Zone) error {
		key, err := zoneOf(l, z)
		if err == nil {
			all[key], err = rangesOf(z.Ports)
		}
		return err
	}
	for _, z := range zones {
		_, err := endpointOf(l, z.Protocol, z.Prefix.Addr(), 0)
		if err == nil {
			err = add(z)
		}
		if err != nil {
			return nil, fmt.Errorf("zone %v: %w", z.Prefix, err)
		}
		ports[place{z.Protocol, z.Prefix.Masked()}] = z.Ports
	}
	for at := range ports {
		if err := add(Zone{Prefix: at.prefix, Ports: fragmentPorts(ports, at.prefix)}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// fragmentPorts returns port 0, which stands for fragments, if a packet to the
// prefix can be one to a marked port.
func fragmentPorts(ports map[place][][2]uint16, p netip.Prefix) [][2]uint16 {
	for _, proto := range []uint8{6, 17, 132} {
		for bits := p.Bits(); bits >= 0; bits-- {
			shorter, _ := p.Addr().Prefix(bits)
			list, ok := ports[place{proto, shorter}]
			if len(list) > 0 {
				return [][2]uint16{{}}
			}
			if ok {
				break
			}
		}
	}
	return nil
}

func zoneOf(l Link, z Zone) (steerZone, error) {
	e, err := endpointOf(l, max(z.Protocol, 1), z.Prefix.Masked().Addr(), 0)
	bits := z.Prefix.Bits()
	key := steerZone{Ifindex: e.Ifindex, Tag: e.Tag, Tags: e.Tags, Proto: z.Protocol, Addr: e.Addr}
	if z.Prefix.Addr().Is4() {
		key.V4, bits = 1, bits+96
	}
	key.Bits = uint32(8*(binary.Size(key)-binary.Size(key.Bits)-binary.Size(key.Addr)) + bits)
	return key, err
}

// rangesOf joins what adjoins.
func rangesOf(ports [][2]uint16) (r steerRanges, err error) {
	n := 0
	r.Range[0].From = 1 // and ends at 0: nothing is in it
	for _, p := range ports {
		switch {
		case n > 0 && r.Range[n-1].To+1 == p[0]:
			r.Range[n-1].To = p[1]
			continue
		case n == maxRanges:
			return r, fmt.Errorf("%w: more than %d ranges of ports", ErrFull, maxRanges)
		}
		r.Range[n].From, r.Range[n].To = p[0], p[1]
		n++
	}
	for i := max(n, 1); i < maxRanges; i++ {
		r.Range[i] = r.Range[max(n, 1)-1]
	}
	return r, nil
}
