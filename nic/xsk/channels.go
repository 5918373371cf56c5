package xsk

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolChannels is struct ethtool_channels (include/uapi/linux/ethtool.h).
type ethtoolChannels struct {
	cmd                                         uint32
	maxRx, maxTx, maxOther, maxCombined         uint32
	rxCount, txCount, otherCount, combinedCount uint32
}

type ifreqEthtool struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

const ethtoolGetChannels = 0x3c

// Queues returns how many receive queues the NIC of that name has now, in the
// network namespace of the calling thread. A driver that does not tell has
// one.
func Queues(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("count queues of %s: %w", name, err)
	}
	defer unix.Close(fd)
	if len(name) >= unix.IFNAMSIZ {
		return 0, fmt.Errorf("count queues of %s: %w", name, unix.ENODEV)
	}
	c := ethtoolChannels{cmd: ethtoolGetChannels}
	req := ifreqEthtool{data: unsafe.Pointer(&c)}
	copy(req.name[:], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	switch errno {
	case 0:
		return int(max(c.rxCount+c.combinedCount, 1)), nil
	case unix.EOPNOTSUPP:
		return 1, nil
	}
	return 0, fmt.Errorf("count queues of %s: %w", name, errno)
}
