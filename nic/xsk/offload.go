package xsk

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offload is a set of things that a NIC does to frames and that XDP cannot
// see (ETH_FLAG_* of include/uapi/linux/ethtool.h).
type Offload uint32

const (
	TransmitVLAN Offload = 1 << 7  // the kernel leaves writing the tag to the NIC
	ReceiveVLAN  Offload = 1 << 8  // the tag is taken out of a frame before XDP sees it
	MergeFrames  Offload = 1 << 15 // LRO: several frames of a flow arrive as one
)

// ErrOffload says that a driver does not let an offload be changed.
var ErrOffload = errors.New("the driver does not let them be changed")

// ethtoolValue is struct ethtool_value.
type ethtoolValue struct{ cmd, data uint32 }

// Offloads returns what the NIC of that name has turned on, in the network
// namespace of the calling thread.
func Offloads(name string) (Offload, error) {
	flags, err := flagsOf(name)
	return Offload(flags) & (TransmitVLAN | ReceiveVLAN | MergeFrames), err
}

// SetOffloads turns some offloads of a NIC on or off and leaves the others. A
// NIC that cannot is an error, ErrOffload.
func SetOffloads(name string, which Offload, on bool) error {
	flags, err := flagsOf(name)
	if err != nil {
		return err
	}
	v := ethtoolValue{unix.ETHTOOL_SFLAGS, flags &^ uint32(which)}
	if on {
		v.data = flags | uint32(which)
	}
	if v.data == flags {
		return nil
	}
	err = ethtool(name, unsafe.Pointer(&v))
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("set offloads of %s: %w", name, ErrOffload)
	}
	if err != nil {
		return fmt.Errorf("set offloads of %s: %w", name, err)
	}
	return nil
}

// flagsOf returns all flags, those that are not ours included.
func flagsOf(name string) (uint32, error) {
	v := ethtoolValue{cmd: unix.ETHTOOL_GFLAGS}
	err := ethtool(name, unsafe.Pointer(&v))
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return 0, fmt.Errorf("read offloads of %s: %w", name, err)
	}
	return v.data, nil
}
