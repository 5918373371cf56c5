package xsk

import (
	"fmt"
	"unsafe"

	"github.com/lvx-lb/lvx/nic"
	"golang.org/x/sys/unix"
)

// UMEM is the frame memory that all sockets share with the kernel. It lies in
// a memfd, so that another process can map the same frames and go on with the
// sockets.
type UMEM struct {
	Pool nic.Pool

	// Finishes tells that the kernel reads what stands before frames: in copy
	// mode it finishes checksums that are left to it (nic.FinishChecksum). Set,
	// it is asked for when the first socket is opened, and kept if granted.
	// Frames that are sent then need nic.MetadataLen of room before them. For a
	// UMEM taken over it is what the other process found.
	Finishes bool

	fd int
}

// NewPool maps a UMEM of that many chunks of chunk bytes: 2048 or 4096, the
// latter for zero copy (igb drops longer frames silently with 2048). fd is the
// memfd of a UMEM taken over from another process, or -1 for a new one; it
// becomes the UMEM's own.
func NewPool(chunks int, chunk uint32, fd int) (*UMEM, error) {
	if chunks <= 0 || chunk < 2048 || chunk > 4096 || chunk&(chunk-1) != 0 {
		return nil, fmt.Errorf("map umem: %d chunks of %d bytes: %w", chunks, chunk, ErrSize)
	}
	size := pageAlign(chunks * int(chunk))
	if fd < 0 {
		var err error
		if fd, err = newMemory(size); err != nil {
			return nil, err
		}
	} else if err := checkMemory(fd, size); err != nil {
		return nil, err
	}
	memory, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("map umem of %d bytes: %w", size, err)
	}
	return &UMEM{Pool: nic.Pool{Bytes: memory, Chunk: chunk}, fd: fd}, nil
}

func pageAlign(n int) int {
	page := unix.Getpagesize()
	return (n + page - 1) / page * page
}

// newMemory opens a memfd that can no longer shrink: a page that vanished
// under a worker would kill the process.
func newMemory(size int) (int, error) {
	fd, err := unix.MemfdCreate("lvx-umem", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("create umem: %w", err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("size umem to %d bytes: %w", size, err)
	}
	unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW)
	return fd, nil
}

func checkMemory(fd, size int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("look at given umem: %w", err)
	}
	if st.Size != int64(size) {
		return fmt.Errorf("take over umem of %d bytes as one of %d: %w", st.Size, size, ErrSize)
	}
	return nil
}

// FD is the memfd behind the UMEM.
func (u *UMEM) FD() int { return u.fd }

// Chunks returns the addresses of all chunks, none of them given to a socket.
func (u *UMEM) Chunks() []uint64 {
	chunks := make([]uint64, u.Pool.Chunks())
	for i := range chunks {
		chunks[i] = uint64(i) * uint64(u.Pool.Chunk)
	}
	return chunks
}

// Close unmaps the frames. Every socket must be closed, and nothing may look
// at a frame any more.
func (u *UMEM) Close() error {
	if u.fd < 0 {
		return nil
	}
	err := unix.Munmap(u.Pool.Bytes)
	unix.Close(u.fd)
	u.Pool.Bytes, u.fd = nil, -1
	return err
}

// register makes the UMEM that of fd. Kernels before 6.10 do not know what
// stands before frames and answer EINVAL.
func (u *UMEM) register(fd int) error {
	reg := unix.XDPUmemReg{
		Addr: uint64(uintptr(unsafe.Pointer(&u.Pool.Bytes[0]))),
		Len:  uint64(len(u.Pool.Bytes)),
		Size: u.Pool.Chunk,
	}
	if !u.Finishes {
		return lockAndRegister(fd, &reg)
	}
	reg.Flags, reg.Tx_metadata_len = unix.XDP_UMEM_TX_METADATA_LEN, nic.MetadataLen
	err := lockAndRegister(fd, &reg)
	if err != unix.EINVAL {
		return err
	}
	u.Finishes, reg.Flags, reg.Tx_metadata_len = false, 0, 0
	return lockAndRegister(fd, &reg)
}

// lockAndRegister asks the kernel. It charges the pages to RLIMIT_MEMLOCK of a
// process without CAP_IPC_LOCK and answers ENOBUFS; then the limit is raised as
// far as it may be and the kernel asked again.
func lockAndRegister(fd int, reg *unix.XDPUmemReg) error {
	err := setsockopt(fd, unix.XDP_UMEM_REG, unsafe.Pointer(reg), unsafe.Sizeof(*reg))
	if err != unix.ENOBUFS {
		return err
	}
	raiseLocked()
	err = setsockopt(fd, unix.XDP_UMEM_REG, unsafe.Pointer(reg), unsafe.Sizeof(*reg))
	if err == unix.ENOBUFS {
		return fmt.Errorf("%w (%d bytes)", ErrLocked, reg.Len)
	}
	return err
}

// raiseLocked raises RLIMIT_MEMLOCK to infinity, or as far as a process
// without CAP_SYS_RESOURCE may. Refusal is no error: the next registration
// tells whether it mattered.
func raiseLocked() {
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unlimited) == nil {
		return
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil {
		limit.Cur = limit.Max
		unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit)
	}
}
