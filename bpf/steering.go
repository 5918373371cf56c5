package bpf

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

var (
	// ErrForeign says that somebody else's XDP program is on the NIC.
	ErrForeign = errors.New("nic has an XDP program of another owner")
	// ErrAttached says that steering is on the NIC already, in the other mode.
	ErrAttached = errors.New("steering is attached in another mode")
	// ErrNIC says that the NIC was never given to AddNIC.
	ErrNIC = errors.New("nic is not known to steering")
	// ErrFull says that a limit of Config is reached.
	ErrFull = errors.New("steering is full")
	// ErrKey says that an endpoint, a MAC address or a queue cannot exist.
	ErrKey = errors.New("invalid steering key")
)

// Config holds the limits of a Steering. Zero means the default.
type Config struct {
	NICs       int // 16
	Queues     int // receive queues of a NIC, 64
	Services   int // service keys, 65,536
	Replies    int // reply keys, 65,536
	Own        int // addresses of the director, 16,384
	MACs       int // MAC addresses of all NICs, 1,024
	FrameBytes int // longest frame that a chunk has room for, 4,096 - 256

	// FDs are taken over, if there are any, instead of loading anew. The
	// limits must be those of the Steering that they come from.
	FDs FDs
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&c.NICs, 16}, {&c.Queues, 64}, {&c.Services, 65536}, {&c.Replies, 65536},
		{&c.Own, 16384}, {&c.MACs, 1024}, {&c.FrameBytes, 4096 - 256},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return c
}

// Steering is the program that decides which frames lvx gets, and its maps.
// Its methods may be called by several goroutines.
type Steering struct {
	mu      sync.Mutex
	config  Config
	objects steerObjects
	nics    map[int]*nic
	tables  map[string]*table
	zones   map[Link]map[steerZone]steerRanges
	awaited []byte // nil = not mapped yet
}

// nic is a NIC that steering looks at.
type nic struct {
	first uint32 // its first slot in sockets
	macs  map[MAC]bool
	link  link.Link // nil = not attached
	mode  Mode
}

// Load brings the program and its empty maps into the kernel. It attaches to
// nothing.
func Load(c Config) (*Steering, error) {
	c = c.withDefaults()
	s := &Steering{config: c, nics: map[int]*nic{}, tables: map[string]*table{}, zones: map[Link]map[steerZone]steerRanges{}}
	spec, err := specFor(c)
	if err != nil {
		return nil, fmt.Errorf("read steering object: %w", err)
	}
	if c.FDs.Program != 0 {
		if err := s.takeOver(c.FDs, spec); err != nil {
			return nil, err
		}
		return s, nil
	}
	if err := spec.LoadAndAssign(&s.objects, nil); err != nil {
		return nil, fmt.Errorf("load steering: %w", err)
	}
	return s, nil
}

// specFor is the checked-in object with the limits of c.
func specFor(c Config) (*ebpf.CollectionSpec, error) {
	spec, err := loadSteer()
	if err != nil {
		return nil, err
	}
	entries := map[string]int{
		steerMapDoors:    c.MACs,
		steerMapServices: 2 * c.Services, // each may need one for its address
		steerMapReplies:  2 * c.Replies,
		steerMapOwn:      c.Own,
		steerMapSockets:  c.NICs * c.Queues,
	}
	for name, n := range entries {
		if n <= 0 || n > 1<<24 {
			return nil, fmt.Errorf("%w: %d entries in %s", ErrKey, n, name)
		}
		spec.Maps[name].MaxEntries = uint32(n)
	}
	constants := map[string]int{
		steerVarQueues:     c.Queues,
		steerVarAllSockets: c.NICs * c.Queues,
		steerVarFrameBytes: c.FrameBytes,
	}
	for name, n := range constants {
		if err := spec.Variables[name].Set(uint32(n)); err != nil {
			return nil, err
		}
	}
	return spec, nil
}

// Close gives up all file descriptors. The kernel detaches the program from
// a NIC when nobody else holds the descriptors.
func (s *Steering) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, n := range s.nics {
		if n.link != nil {
			errs = append(errs, n.link.Close())
			n.link = nil
		}
	}
	for _, t := range s.tables {
		errs = append(errs, t.close())
	}
	clear(s.tables)
	if s.awaited != nil {
		errs = append(errs, unix.Munmap(s.awaited))
		s.awaited = nil
	}
	return errors.Join(append(errs, s.objects.Close())...)
}
