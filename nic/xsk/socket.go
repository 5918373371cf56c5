package xsk

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"github.com/lvx-lb/lvx/nic"
	"golang.org/x/sys/unix"
)

// Socket is a nic.Queue on one queue of one NIC. Like every Queue it belongs
// to one goroutine; FD and ZeroCopy may be asked from anywhere.
type Socket struct {
	fd        int
	zeroCopy  bool
	chunkMask uint64
	rx, tx    ring[nic.Frame]
	fill      ring[uint64]
	completed ring[uint64]
	told      uint32 // tx.own when the driver was last woken to send
	overdue   bool   // of that something lay there still
	stats     nic.Stats
	kernel    unix.XDPStatistics // here, not on a stack, for the kernel to write
}

// Config says what to open. Ring sizes are powers of two; zero is 2048.
type Config struct {
	Ifindex, Queue                           int
	RxSize, TxSize, FillSize, CompletionSize uint32
	Mode                                     Mode
	Shared                                   *Socket  // the UMEM's first socket; nil for the first
	Fill                                     []uint64 // chunks to receive into, given before the socket is bound
	Given                                    int      // fd of a bound socket taken over from another process, with its ring sizes; 0 = open one
}

// bindPatience is how long a queue may stay busy after its last socket was
// closed: the kernel lets go of it in the background.
const bindPatience = 2 * time.Second

// Open binds a socket to a queue. The chunks of Config.Fill are the kernel's
// from then on; if there is no room for all it is an error.
func Open(u *UMEM, cfg Config) (*Socket, error) {
	s := &Socket{fd: cfg.Given, chunkMask: ^uint64(u.Pool.Chunk - 1)}
	if err := s.open(u, cfg); err != nil {
		if cfg.Given != 0 {
			s.fd = -1 // still the caller's
		}
		s.Close()
		return nil, fmt.Errorf("open queue %d of nic %d: %w", cfg.Queue, cfg.Ifindex, err)
	}
	return s, nil
}

func (s *Socket) open(u *UMEM, cfg Config) error {
	for _, size := range []*uint32{&cfg.RxSize, &cfg.TxSize, &cfg.FillSize, &cfg.CompletionSize} {
		if *size == 0 {
			*size = 2048
		}
		if *size&(*size-1) != 0 {
			return fmt.Errorf("ring of %d: %w", *size, ErrSize)
		}
	}
	if cfg.Given != 0 {
		return s.takeOver(cfg)
	}
	if err := wantTransmitQueue(cfg.Ifindex, cfg.Queue); err != nil {
		return err
	}
	if err := s.create(u, cfg); err != nil {
		return err
	}
	if err := s.mapRings(cfg); err != nil {
		return err
	}
	if n := s.fill.put(cfg.Fill); n < len(cfg.Fill) {
		return fmt.Errorf("fill ring of %d for %d chunks: %w", cfg.FillSize, len(cfg.Fill), ErrSize)
	}
	if err := s.bind(cfg); err != nil {
		return err
	}
	return s.checkMode(cfg)
}

// create makes the socket and sizes its rings.
func (s *Socket) create(u *UMEM, cfg Config) error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("create socket: %w", err)
	}
	s.fd = fd
	if cfg.Shared == nil {
		if err := u.register(fd); err != nil {
			return fmt.Errorf("register umem: %w", err)
		}
	}
	for _, r := range []struct {
		name   string
		option int
		size   uint32
	}{
		{"receive", unix.XDP_RX_RING, cfg.RxSize},
		{"transmit", unix.XDP_TX_RING, cfg.TxSize},
		{"fill", unix.XDP_UMEM_FILL_RING, cfg.FillSize},
		{"completion", unix.XDP_UMEM_COMPLETION_RING, cfg.CompletionSize},
	} {
		if err := setUint32(fd, r.option, r.size); err != nil {
			return fmt.Errorf("size %s ring to %d: %w", r.name, r.size, err)
		}
	}
	s.widen(u, cfg)
	return nil
}

// widen lets copy mode send a batch by one system call and hold a whole
// transmit ring in socket buffers. Old kernels and containers refuse; then the
// calls are more.
func (s *Socket) widen(u *UMEM, cfg Config) {
	setUint32(s.fd, maxTxSKBBudget, min(cfg.TxSize, 256))
	const overhead = 1024 // struct sk_buff and what the allocator rounds up
	buffers := min(int(cfg.TxSize)*int(u.Pool.Chunk+overhead), 1<<30)
	unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, buffers)
}

func (s *Socket) mapRings(cfg Config) error {
	var off unix.XDPMmapOffsets
	if err := getsockopt(s.fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&off), unsafe.Sizeof(off)); err != nil {
		return fmt.Errorf("ask for ring offsets: %w", err)
	}
	err := errors.Join(
		mapRing(&s.rx, s.fd, unix.XDP_PGOFF_RX_RING, off.Rx, cfg.RxSize),
		mapRing(&s.tx, s.fd, unix.XDP_PGOFF_TX_RING, off.Tx, cfg.TxSize),
		mapRing(&s.fill, s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, off.Fr, cfg.FillSize),
		mapRing(&s.completed, s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, off.Cr, cfg.CompletionSize),
	)
	if err != nil {
		return fmt.Errorf("map rings: %w", err)
	}
	s.rx.consume()
	s.tx.produce()
	s.fill.produce()
	s.completed.consume()
	return nil
}

// bind binds the socket. EINVAL and EOPNOTSUPP both mean that the driver
// cannot: virtio_net without an IOMMU says the former.
func (s *Socket) bind(cfg Config) error {
	address := &unix.SockaddrXDP{Flags: cfg.Mode.bindFlags(), Ifindex: uint32(cfg.Ifindex), QueueID: uint32(cfg.Queue)}
	if cfg.Shared != nil {
		// Any further flag would be EINVAL: the mode is the first socket's.
		address.Flags, address.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(cfg.Shared.fd)
	}
	err := unix.Bind(s.fd, address)
	for end := time.Now().Add(bindPatience); err == unix.EBUSY && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		err = unix.Bind(s.fd, address)
	}
	switch err {
	case nil:
		return nil
	case unix.EBUSY:
		return fmt.Errorf("bind: %w", ErrBusy)
	case unix.EINVAL, unix.EOPNOTSUPP:
		return fmt.Errorf("bind for %s: %w (%w)", cfg.Mode, ErrNotSupported, err)
	}
	return fmt.Errorf("bind: %w", err)
}

// checkMode compares what the kernel did with what was asked for.
func (s *Socket) checkMode(cfg Config) error {
	var options uint32
	if err := getsockopt(s.fd, unix.XDP_OPTIONS, unsafe.Pointer(&options), unsafe.Sizeof(options)); err != nil {
		return fmt.Errorf("ask for the mode: %w", err)
	}
	s.zeroCopy = options&unix.XDP_OPTIONS_ZEROCOPY != 0
	if s.zeroCopy != (cfg.Mode == ZeroCopy) {
		return fmt.Errorf("zero copy is %t, asked for %s: %w", s.zeroCopy, cfg.Mode, ErrMode)
	}
	return nil
}

// takeOver goes on with a socket that another process bound. Frames on their
// way out count as in flight until they are completed.
func (s *Socket) takeOver(cfg Config) error {
	if err := s.mapRings(cfg); err != nil {
		return err
	}
	return s.checkMode(cfg)
}

// ZeroCopy reports whether the NIC itself reads and writes the UMEM. It is not
// proof: igb says so with a generic program too, and then sends nothing.
func (s *Socket) ZeroCopy() bool { return s.zeroCopy }

// FD implements nic.Queue.
func (s *Socket) FD() int { return s.fd }

// Close gives the queue back; frames in its rings are nobody's then. Detach
// the steering and let InFlight become 0 first: closing with frames on their
// way has crashed hosts (ice). The rings are unmapped before the socket is
// closed, a mapping alone would keep the queue busy.
func (s *Socket) Close() error {
	s.rx.unmap()
	s.tx.unmap()
	s.fill.unmap()
	s.completed.unmap()
	if s.fd <= 0 {
		return nil
	}
	err := unix.Close(s.fd)
	s.fd = -1
	return err
}
