package xsk

import (
	"errors"
	"testing"
	"unsafe"

	"github.com/lvx-lb/lvx/rss"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestRequestsAreLaidOutAsTheKernelWantsThem: numbers of
// include/uapi/linux/ethtool.h.
func TestRequestsAreLaidOutAsTheKernelWantsThem(t *testing.T) {
	var f ethtoolFields
	var h spreadHead
	for name, got := range map[string][2]uintptr{
		"ethtool_rxnfc":            {unsafe.Sizeof(f), 192},
		"ethtool_rxnfc.data":       {unsafe.Offsetof(f.fields), 8},
		"ethtool_rxfh":             {unsafe.Sizeof(h), 24},
		"ethtool_rxfh.indir_size":  {unsafe.Offsetof(h.entries), 8},
		"ethtool_rxfh.key_size":    {unsafe.Offsetof(h.key), 12},
		"ethtool_rxfh.hfunc":       {unsafe.Offsetof(h.function), 16},
		"ethtool_rxfh.input_xfrm":  {unsafe.Offsetof(h.transform), 17},
		"ETHTOOL_GRSSH":            {unix.ETHTOOL_GRSSH, 0x46},
		"ETHTOOL_SRXFH":            {unix.ETHTOOL_SRXFH, 0x2a},
		"RXH_IP_SRC, RXH_L4_B_0_1": {uintptr(rss.Source), 1<<4 | 1<<6},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %d, want %d", name, got[0], got[1])
		}
	}
}

func TestAVethPlacesNothing(t *testing.T) {
	inLab(t, func() {
		must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "q", NumRxQueues: 2, NumTxQueues: 2}, PeerName: "qfar"}))
		for name, err := range map[string]error{
			"save":       func() error { _, err := rss.Save(Placing("q")); return err }(),
			"spread":     Placing("q").SetSpread(rss.Spread{Queues: make([]uint32, 4), Key: rss.SymmetricKey(40), Function: rss.FunctionToeplitz}),
			"set fields": Placing("q").SetFields(rss.TCP4, rss.Source),
		} {
			if !errors.Is(err, unix.EOPNOTSUPP) {
				t.Errorf("%s: %v, want %v", name, err, unix.EOPNOTSUPP)
			}
		}
		_, err := rss.BySide([]rss.Member{{NIC: Placing("q"), Name: "q", Side: rss.Source, Queues: 2}}, 2)
		if !errors.Is(err, rss.ErrSide) {
			t.Errorf("by side: %v", err)
		}
		for name, err := range map[string]error{
			"nobody":          Placing("nobody").SetFields(rss.TCP4, rss.Source),
			"a name too long": Placing("a-name-that-is-too-long").SetFields(rss.TCP4, rss.Source),
		} {
			if err == nil {
				t.Errorf("%s: fields were set", name)
			}
		}
	})
}
