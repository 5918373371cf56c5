package xsk

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/lvx-lb/lvx/rss"
	"golang.org/x/sys/unix"
)

// Placing is how the NIC of that name goes from a packet to a queue: an
// rss.NIC, in the network namespace of the calling thread.
type Placing string

// ethtoolFields is struct ethtool_rxnfc as far as it is used for
// ETHTOOL_[GS]RXFH (include/uapi/linux/ethtool.h); the rest is rules.
type ethtoolFields struct {
	cmd, kind uint32
	fields    uint64
	_         [176]byte
}

// spreadHead is struct ethtool_rxfh: the indirection table follows, then the
// key.
type spreadHead struct {
	cmd, context        uint32
	entries, key        uint32
	function, transform uint8
	_                   [2]uint8
	_                   uint32
}

const (
	maxEntries = 1 << 16
	maxKey     = 1 << 10
)

// spreadRequest is a spreadHead with room for what follows it.
type spreadRequest struct {
	spreadHead
	rest []byte
}

// exchange lets the driver read or write the head and what follows.
func (r *spreadRequest) exchange(name string) error {
	const head = int(unsafe.Sizeof(spreadHead{}))
	words := make([]uint32, (head+len(r.rest)+3)/4) // aligned for the kernel's u32
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 4*len(words))
	*(*spreadHead)(unsafe.Pointer(&words[0])) = r.spreadHead
	copy(bytes[head:], r.rest)
	err := ethtool(name, unsafe.Pointer(&words[0]))
	r.spreadHead = *(*spreadHead)(unsafe.Pointer(&words[0]))
	copy(r.rest, bytes[head:])
	return err
}

// Spread implements rss.NIC.
func (p Placing) Spread() (rss.Spread, error) {
	r := spreadRequest{spreadHead: spreadHead{cmd: unix.ETHTOOL_GRSSH}}
	if err := r.exchange(string(p)); err != nil {
		return rss.Spread{}, fmt.Errorf("read hash key of %s: %w", p, err)
	}
	if r.entries > maxEntries || r.key > maxKey {
		return rss.Spread{}, fmt.Errorf("read hash key of %s: %d entries, %d bytes: %w", p, r.entries, r.key, unix.E2BIG)
	}
	r.cmd, r.rest = unix.ETHTOOL_GRSSH, make([]byte, 4*r.entries+r.key)
	if err := r.exchange(string(p)); err != nil {
		return rss.Spread{}, fmt.Errorf("read hash key of %s: %w", p, err)
	}
	s := rss.Spread{Queues: make([]uint32, r.entries), Function: r.function, Transform: r.transform}
	for i := range s.Queues {
		s.Queues[i] = binary.NativeEndian.Uint32(r.rest[4*i:])
	}
	s.Key = r.rest[4*r.entries:]
	return s, nil
}

// SetSpread implements rss.NIC. Key and table have the lengths that Spread
// returned.
func (p Placing) SetSpread(s rss.Spread) error {
	r := spreadRequest{spreadHead: spreadHead{
		cmd: unix.ETHTOOL_SRSSH, entries: uint32(len(s.Queues)), key: uint32(len(s.Key)), function: s.Function, transform: s.Transform,
	}}
	for _, q := range s.Queues {
		r.rest = binary.NativeEndian.AppendUint32(r.rest, q)
	}
	r.rest = append(r.rest, s.Key...)
	if len(s.Queues) == 0 {
		r.entries = ^uint32(0) // ETH_RXFH_INDIR_NO_CHANGE; 0 would reset it
	}
	if err := r.exchange(string(p)); err != nil {
		return fmt.Errorf("set hash key of %s: %w", p, err)
	}
	return nil
}

// Fields implements rss.NIC.
func (p Placing) Fields(k rss.Kind) (rss.Fields, error) {
	f := ethtoolFields{cmd: unix.ETHTOOL_GRXFH, kind: uint32(k)}
	if err := ethtool(string(p), unsafe.Pointer(&f)); err != nil {
		return 0, fmt.Errorf("read hash fields of %s: %w", p, err)
	}
	return rss.Fields(f.fields), nil
}

// SetFields implements rss.NIC.
func (p Placing) SetFields(k rss.Kind, fields rss.Fields) error {
	f := ethtoolFields{cmd: unix.ETHTOOL_SRXFH, kind: uint32(k), fields: uint64(fields)}
	if err := ethtool(string(p), unsafe.Pointer(&f)); err != nil {
		return fmt.Errorf("set hash fields of %s: %w", p, err)
	}
	return nil
}
