package xsk

import (
	"errors"
	"fmt"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolChannels is struct ethtool_channels (include/uapi/linux/ethtool.h).
type ethtoolChannels struct {
	cmd                                         uint32
	maxRx, maxTx, maxOther, maxCombined         uint32
	rxCount, txCount, otherCount, combinedCount uint32
}

// Queues returns how many receive queues the NIC of that name has now, in the
// network namespace of the calling thread. A driver that does not tell has
// one.
func Queues(name string) (int, error) {
	receive, _, err := queuesOf(name)
	return receive, err
}

// queuesOf counts receive and transmit queues.
func queuesOf(name string) (receive, transmit int, err error) {
	c := ethtoolChannels{cmd: unix.ETHTOOL_GCHANNELS}
	switch err := ethtool(name, unsafe.Pointer(&c)); {
	case errors.Is(err, unix.EOPNOTSUPP):
		return 1, 1, nil
	case err != nil:
		return 0, 0, fmt.Errorf("count queues of %s: %w", name, err)
	}
	return int(max(c.rxCount+c.combinedCount, 1)), int(max(c.txCount+c.combinedCount, 1)), nil
}

// Resize returns the command that gives the NIC of that name so many queues, ""
// if it cannot have them.
func Resize(name string, queues int) string {
	c := ethtoolChannels{cmd: unix.ETHTOOL_GCHANNELS}
	if err := ethtool(name, unsafe.Pointer(&c)); err != nil {
		return ""
	}
	switch n := uint32(queues); {
	case n <= c.maxCombined:
		return fmt.Sprintf("ethtool -L %s combined %d", name, n)
	case n <= min(c.maxRx, c.maxTx):
		return fmt.Sprintf("ethtool -L %s rx %d tx %d", name, n, n)
	}
	return ""
}

// wantTransmitQueue refuses a queue that only receives: a socket on it would
// bind, and in copy mode lose every frame it sends without an error.
func wantTransmitQueue(ifindex, queue int) error {
	nic, err := net.InterfaceByIndex(ifindex)
	if err != nil {
		return fmt.Errorf("look up nic: %w", err)
	}
	receive, transmit, err := queuesOf(nic.Name)
	if err != nil {
		return err
	}
	if queue >= transmit && queue < receive {
		return fmt.Errorf("%w: %s receives on %d queues and transmits on %d; run: ethtool -L", ErrTransmit, nic.Name, receive, transmit)
	}
	return nil
}
