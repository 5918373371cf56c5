package xsk

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrModeration says that a driver does not let its interrupts be moderated
// otherwise.
var ErrModeration = errors.New("the driver does not let interrupts be moderated otherwise")

// ethtoolCoalesce is struct ethtool_coalesce.
type ethtoolCoalesce struct {
	cmd           uint32
	_             [4]uint32 // of receiving
	transmitUsecs uint32
	_             [17]uint32
}

// Moderation returns for how many microseconds the NIC of that name puts off
// interrupts about sending, in the network namespace of the calling thread. A
// driver that does not tell puts off none.
func Moderation(name string) (usecs uint32, err error) {
	c, err := coalesceOf(name)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return 0, nil
	}
	return c.transmitUsecs, err
}

// SetModeration has a NIC put off interrupts about sending for so long, and
// leaves those about receiving. A NIC that cannot is an error, ErrModeration.
func SetModeration(name string, usecs uint32) error {
	c, err := coalesceOf(name)
	if err == nil && c.transmitUsecs != usecs {
		c.cmd, c.transmitUsecs = unix.ETHTOOL_SCOALESCE, usecs
		err = ethtool(name, unsafe.Pointer(&c))
	}
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		err = ErrModeration
	}
	if err != nil {
		return fmt.Errorf("set moderation of %s: %w", name, err)
	}
	return nil
}

// coalesceOf returns all that a driver tells of moderation.
func coalesceOf(name string) (ethtoolCoalesce, error) {
	c := ethtoolCoalesce{cmd: unix.ETHTOOL_GCOALESCE}
	if err := ethtool(name, unsafe.Pointer(&c)); err != nil {
		return c, fmt.Errorf("read moderation of %s: %w", name, err)
	}
	return c, nil
}
