package rss

import (
	"fmt"
	"slices"
	"syscall"

	"github.com/lvx-lb/lvx/packet"
)

const (
	addresses = SourceAddr | DestinationAddr
	all       = Source | Destination
)

// driver is a NIC in software. It answers ethtool as the drivers of Linux
// 6.12 do, from reading them, and places packets by what it was told.
type driver struct {
	spread Spread
	fields map[Kind]Fields

	accept  func(d *driver, k Kind, f Fields) error // of SetFields
	fixed   bool                                    // key and table cannot be set
	unable  bool                                    // nothing can be read
	deaf    bool                                    // says yes and does nothing
	changes int
}

func newDriver(queues, table, key int) *driver {
	d := &driver{fields: map[Kind]Fields{}, accept: subset}
	d.spread = Spread{Queues: make([]uint32, table), Key: make([]byte, key), Function: FunctionToeplitz}
	for i := range table {
		d.spread.Queues[i] = uint32(i % queues)
	}
	for i := range key {
		d.spread.Key[i] = byte(i * 37) // one that a boot would choose
	}
	for _, k := range Kinds {
		d.fields[k] = all
	}
	return d
}

// The rules of drivers.

// subset takes any of the four: i40e_get_rss_hash_bits, ice_parse_hash_flds,
// iavf_adv_rss_parse_hash_flds, mlx5e_set_rss_hash_opt.
func subset(_ *driver, _ Kind, f Fields) error {
	if f&^all != 0 {
		return syscall.EINVAL
	}
	return nil
}

// none: no set_rxnfc, or a device that lacks it (veth, gve, ena without
// RSS field configuration, i40e in MFP mode).
func none(*driver, Kind, Fields) error { return syscall.EOPNOTSUPP }

// intel: TCP by all four, UDP by addresses or all (ixgbe_set_rss_hash_opt,
// igb, igc).
func intel(_ *driver, k Kind, f Fields) error {
	if f == all || f == addresses && (k == UDP4 || k == UDP6) {
		return nil
	}
	return syscall.EINVAL
}

// tuples: nothing, addresses or all (bnxt_srxfh).
func tuples(_ *driver, _ Kind, f Fields) error {
	if f == all || f == addresses || f == 0 {
		return nil
	}
	return syscall.EINVAL
}

// pairs: addresses or all (virtnet_set_hashflow, netvsc, otx2).
func pairs(_ *driver, _ Kind, f Fields) error {
	if f == all || f == addresses {
		return nil
	}
	return syscall.EINVAL
}

func (d *driver) Spread() (Spread, error) {
	if d.unable {
		return Spread{}, syscall.EOPNOTSUPP
	}
	s := d.spread
	s.Queues, s.Key = slices.Clone(s.Queues), slices.Clone(s.Key)
	return s, nil
}

func (d *driver) SetSpread(s Spread) error {
	switch {
	case d.fixed:
		return syscall.EOPNOTSUPP
	case len(s.Queues) != len(d.spread.Queues), len(s.Key) != len(d.spread.Key):
		return syscall.EINVAL
	}
	d.changes++
	if !d.deaf {
		d.spread = s
	}
	return nil
}

func (d *driver) Fields(k Kind) (Fields, error) {
	if d.unable {
		return 0, syscall.EOPNOTSUPP
	}
	return d.fields[k], nil
}

// SetFields refuses what the core refuses: with a symmetric transformation
// both sides count or none (net/ethtool/ioctl.c).
func (d *driver) SetFields(k Kind, f Fields) error {
	oneSided := f&SourceAddr<<1 != f&DestinationAddr || f&SourcePort<<1 != f&DestinationPort
	if d.spread.Transform == 1 && oneSided {
		return syscall.EINVAL
	}
	if err := d.accept(d, k, f); err != nil {
		return err
	}
	d.changes++
	if !d.deaf {
		d.fields[k] = f
	}
	return nil
}

// queue says where the NIC puts a packet.
func (d *driver) queue(f packet.Flow) int {
	k := map[bool]map[uint8]Kind{true: {packet.TCP: TCP4, packet.UDP: UDP4}, false: {packet.TCP: TCP6, packet.UDP: UDP6}}[f.Src.Addr.Is4()][f.Proto]
	h := Toeplitz(d.spread.Key, Input(f, d.fields[k]))
	return int(d.spread.Queues[int(h)&(len(d.spread.Queues)-1)])
}

// state is all that a change could touch.
func (d *driver) state() string {
	return fmt.Sprint(d.spread, d.fields[TCP4], d.fields[UDP4], d.fields[TCP6], d.fields[UDP6])
}
