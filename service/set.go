package service

import (
	"cmp"
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
// their creation, mark rules, timeouts and settings. The zero Set is empty, has the
// default timeouts and settings and supports no Features.
//
// A Set is for one goroutine at a time; it and its clones can be used at the
// same time.
type Set struct {
	tree     *tree
	count    int
	made     uint64       // services ever
	list     []Configured // of tree, nil until it is asked for
	timeouts Timeouts
	settings *Settings // never changed, nil: the defaults
	features Features
	marks    []MarkRule // never changed
}

// NewSet returns an empty Set for a director that has these features.
func NewSet(f Features) *Set { return &Set{features: f} }

// Clone returns a copy that Apply can change without changing s. It costs
// next to nothing.
func (s *Set) Clone() *Set {
	clone := *s
	return &clone
}

// Len returns the number of services.
func (s *Set) Len() int { return s.count }

// Services returns the services in the order of their creation. The caller
// must not change them.
func (s *Set) Services() []Configured {
	if s.list == nil && s.count > 0 {
		leaves := s.tree.appendTo(make([]*leaf, 0, s.count))
		slices.SortFunc(leaves, func(a, b *leaf) int { return cmp.Compare(a.number, b.number) })
		s.list = make([]Configured, len(leaves))
		for i, x := range leaves {
			s.list[i] = x.Configured
		}
	}
	return s.list
}

// Sorted returns the services and their servers in the order in which ipvsadm
// lists them.
func (s *Set) Sorted() []Configured {
	sorted := slices.Clone(s.Services())
	slices.SortStableFunc(sorted, func(a, b Configured) int { return Compare(a.Key, b.Key) })
	for i := range sorted {
		sorted[i].Servers = slices.Clone(sorted[i].Servers)
		slices.SortStableFunc(sorted[i].Servers, CompareServers)
	}
	return sorted
}

// Find returns the service named k. The caller must not change its servers.
func (s *Set) Find(k Key) (Configured, bool) {
	if x := s.tree.find(k.normal()); x != nil {
		return x.Configured, true
	}
	return Configured{}, false
}

// Timeouts returns the timeouts, those that were never set by their defaults.
func (s *Set) Timeouts() Timeouts { return s.timeouts.or(DefaultTimeouts()) }

// Settings returns the settings.
func (s *Set) Settings() Settings {
	if s.settings == nil {
		return DefaultSettings()
	}
	return *s.settings
}

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
	if err := s.apply(&e); err != nil {
		return fmt.Errorf("%v: %w", e, err)
	}
	return nil
}

// ApplyEach makes the changes one after the other, each by itself as the lines
// of ipvsadm -R are. It returns nil if all were made, else an error, or nil,
// for each edit.
func (s *Set) ApplyEach(edits []Edit) []error {
	var errs []error
	for i, e := range edits {
		if err := s.Apply(e); err != nil {
			if errs == nil {
				errs = make([]error, len(edits))
			}
			errs[i] = err
		}
	}
	return errs
}

func (s *Set) apply(e *Edit) error {
	switch e.Op {
	case AddService:
		return s.addService(e.Service)
	case EditService:
		return s.editService(e.Service)
	case DeleteService:
		return s.deleteService(e.Service.Key)
	case Clear:
		s.tree, s.count, s.list = nil, 0, nil
		return nil
	case AddServer, EditServer, DeleteServer:
		return s.editServers(e)
	case Zero:
		if e.Service.Key != (Key{}) && s.tree.find(e.Service.Key) == nil {
			return ErrNoService
		}
		return nil
	case SetTimeouts:
		return s.setTimeouts(e.Timeouts)
	case SetSysctl:
		settings := s.Settings()
		if err := settings.Set(e.Sysctl); err != nil {
			return err
		}
		s.settings = &settings
		return nil
	case AddMark:
		return s.addMark(e.Mark)
	case DeleteMark:
		return s.deleteMark(e.Mark)
	case ClearMarks:
		s.marks = nil
		return nil
	}
	return ErrInvalid
}

// put adds a service or replaces the one of its key.
func (s *Set) put(x *leaf) { s.tree, s.list = s.tree.with(x, 0), nil }

func (s *Set) addService(v Service) error {
	if s.tree.find(v.Key) != nil {
		return ErrServiceExists
	}
	v, err := v.checked(s.features)
	if err != nil {
		return err
	}
	s.count++
	s.made++
	s.put(&leaf{Configured{Service: v}, hashOf(v.Key), s.made})
	return nil
}

func (s *Set) editService(v Service) error {
	x := s.tree.find(v.Key)
	if x == nil {
		return ErrNoService
	}
	v, err := v.checked(s.features)
	if err != nil {
		return err
	}
	s.put(&leaf{Configured{v, x.Servers}, x.hash, x.number})
	return nil
}

func (s *Set) deleteService(k Key) error {
	x := s.tree.find(k)
	if x == nil {
		return ErrNoService
	}
	s.count--
	s.tree, s.list = s.tree.without(x, 0), nil
	return nil
}

func (s *Set) editServers(e *Edit) error {
	x := s.tree.find(e.Service.Key)
	if x == nil {
		return ErrServiceNotDefined
	}
	if e.Op != DeleteServer {
		if err := e.Server.inRange(); err != nil {
			return err
		}
	}
	at := slices.IndexFunc(x.Servers, func(v Server) bool { return v.Address == e.Server.Address })
	switch {
	case e.Op == AddServer && at >= 0:
		return ErrServerExists
	case e.Op != AddServer && at < 0:
		return ErrNoServer
	}
	if e.Op != DeleteServer {
		if err := e.Server.check(x.Key, s.features); err != nil {
			return err
		}
	}
	s.put(&leaf{Configured{x.Service, edited(x.Servers, e, at)}, x.hash, x.number})
	return nil
}

// edited returns a new list of servers, newest first. The old one may be that
// of a clone.
func edited(servers []Server, e *Edit, at int) []Server {
	switch e.Op {
	case AddServer:
		return slices.Concat([]Server{e.Server}, servers)
	case EditServer:
		servers = slices.Clone(servers)
		servers[at] = e.Server
		return servers
	}
	return slices.Concat(servers[:at], servers[at+1:])
}

func (s *Set) setTimeouts(t Timeouts) error {
	if min(t.TCP, t.TCPFin, t.UDP) < 0 || max(t.TCP, t.TCPFin, t.UDP) > maxTimeout {
		return ErrInvalid
	}
	s.timeouts = t.or(s.timeouts)
	return nil
}
