package service

import (
	"fmt"
	"slices"
	"time"
)

// DefaultTimeouts returns those of IPVS.
func DefaultTimeouts() Timeouts {
	return Timeouts{TCP: 15 * time.Minute, TCPFin: 2 * time.Minute, UDP: 5 * time.Minute}
}

// Configured is a service with its servers, newest first.
type Configured struct {
	Service
	Servers []Server `json:"servers"`
}

// Set is what an administrator has configured: services in the order of
// their creation, and timeouts. The zero Set is empty and has the default
// timeouts.
type Set struct {
	services []Configured // lists of servers are replaced, never written: clones share them
	timeouts Timeouts
}

// Clone returns a copy that Apply can change without changing s.
func (s *Set) Clone() *Set { return &Set{slices.Clone(s.services), s.timeouts} }

// Len returns the number of services.
func (s *Set) Len() int { return len(s.services) }

// Services returns the services in the order of their creation. The caller
// must not change them, nor keep them over an Apply.
func (s *Set) Services() []Configured { return s.services }

// Sorted returns the services and their servers in the order in which ipvsadm
// lists them.
func (s *Set) Sorted() []Configured {
	sorted := slices.Clone(s.services)
	slices.SortStableFunc(sorted, func(a, b Configured) int { return Compare(a.Key, b.Key) })
	for i := range sorted {
		sorted[i].Servers = slices.Clone(sorted[i].Servers)
		slices.SortStableFunc(sorted[i].Servers, CompareServers)
	}
	return sorted
}

// Find returns the service named k. The caller must not change its servers.
func (s *Set) Find(k Key) (Configured, bool) {
	if i := s.index(k); i >= 0 {
		return s.services[i], true
	}
	return Configured{}, false
}

// Timeouts returns the timeouts, those that were never set by their defaults.
func (s *Set) Timeouts() Timeouts { return s.timeouts.or(DefaultTimeouts()) }

func (t Timeouts) or(other Timeouts) Timeouts {
	if t.TCP == 0 {
		t.TCP = other.TCP
	}
	if t.TCPFin == 0 {
		t.TCPFin = other.TCPFin
	}
	if t.UDP == 0 {
		t.UDP = other.UDP
	}
	return t
}

// Apply makes one change, or none if it returns an error. The error wraps one
// of the package's sentinels.
func (s *Set) Apply(e Edit) error {
	e = e.normal()
	if err := s.apply(e); err != nil {
		return fmt.Errorf("%v: %w", e, err)
	}
	return nil
}

func (s *Set) apply(e Edit) error {
	switch e.Op {
	case AddService:
		return s.addService(e.Service)
	case EditService:
		return s.editService(e.Service)
	case DeleteService:
		return s.deleteService(e.Service.Key)
	case Clear:
		s.services = nil
		return nil
	case AddServer, EditServer, DeleteServer:
		return s.editServers(e)
	case Zero:
		if e.Service.Key != (Key{}) && s.index(e.Service.Key) < 0 {
			return ErrNoService
		}
		return nil
	case SetTimeouts:
		return s.setTimeouts(e.Timeouts)
	}
	return ErrInvalid
}

func (s *Set) index(k Key) int {
	return slices.IndexFunc(s.services, func(c Configured) bool { return c.Key == k })
}

func (s *Set) addService(v Service) error {
	if s.index(v.Key) >= 0 {
		return ErrServiceExists
	}
	v, err := v.checked()
	if err != nil {
		return err
	}
	s.services = append(s.services, Configured{Service: v})
	return nil
}

func (s *Set) editService(v Service) error {
	i := s.index(v.Key)
	if i < 0 {
		return ErrNoService
	}
	v, err := v.checked()
	if err != nil {
		return err
	}
	s.services[i].Service = v
	return nil
}

func (s *Set) deleteService(k Key) error {
	i := s.index(k)
	if i < 0 {
		return ErrNoService
	}
	s.services = slices.Delete(s.services, i, i+1)
	return nil
}

func (s *Set) editServers(e Edit) error {
	i := s.index(e.Service.Key)
	if i < 0 {
		return ErrServiceNotDefined
	}
	c := &s.services[i]
	if e.Op != DeleteServer {
		if err := e.Server.inRange(); err != nil {
			return err
		}
	}
	at := slices.IndexFunc(c.Servers, func(v Server) bool { return v.Address == e.Server.Address })
	switch {
	case e.Op == AddServer && at >= 0:
		return ErrServerExists
	case e.Op != AddServer && at < 0:
		return ErrNoServer
	}
	if e.Op != DeleteServer {
		if err := e.Server.check(c.Key); err != nil {
			return err
		}
	}
	switch e.Op {
	case AddServer:
		c.Servers = append([]Server{e.Server}, c.Servers...)
	case EditServer:
		c.Servers = slices.Clone(c.Servers)
		c.Servers[at] = e.Server
	case DeleteServer:
		c.Servers = slices.Delete(slices.Clone(c.Servers), at, at+1)
	}
	return nil
}

func (s *Set) setTimeouts(t Timeouts) error {
	if min(t.TCP, t.TCPFin, t.UDP) < 0 || max(t.TCP, t.TCPFin, t.UDP) > maxTimeout {
		return ErrInvalid
	}
	s.timeouts = t.or(s.timeouts)
	return nil
}
