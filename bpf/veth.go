package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrName says that a NIC of the name of lvx's own veth is there and is not
// lvx's.
var ErrName = errors.New("nic belongs to somebody else")

const (
	ethernetBytes = 14
	vethAlias     = "lvx way back"
)

// vethAddr is the IPv4 dummy address (RFC 7600): loose reverse path
// filtering refuses everything on a NIC without an address.
var vethAddr = &net.IPNet{IP: net.IPv4(192, 0, 0, 8), Mask: net.CIDRMask(32, 32)}

// veth is lvx's own NIC, by which frames reach the kernel without meeting
// generic steering.
type veth struct {
	name  string
	index int
	mac   MAC
}

// NewWayBackVeth makes the way back for generic XDP, where a frame given to
// its NIC would meet steering again: frames enter at one end, called name, of
// a veth pair that it creates in the network namespace of the calling thread.
// A pair left by a crash is used again.
//
// Frames lose their VLAN tags and get the MAC address of the veth, so that
// the kernel takes them for its own. It sees them arrive on name: rules that
// ask for the receiving NIC do not match, and strict reverse path filtering
// would drop all of them. So net.ipv4.conf.NAME.rp_filter is set to 2 (loose),
// which wins over a strict net.ipv4.conf.all.rp_filter; the source of a frame
// must then be reachable by some route.
func NewWayBackVeth(name, peer string) (*WayBack, error) {
	v, err := openVeth(name, peer)
	if err != nil {
		return nil, fmt.Errorf("create way back %s: %w", name, err)
	}
	w, err := NewWayBack()
	if err != nil {
		return nil, errors.Join(err, v.remove())
	}
	w.veth = v
	return w, nil
}

func openVeth(name, peer string) (*veth, error) {
	l, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		err = netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peer})
		if err != nil {
			return nil, err
		}
		if l, err = netlink.LinkByName(name); err == nil {
			err = netlink.LinkSetAlias(l, vethAlias)
		}
	} else if err == nil && l.Attrs().Alias != vethAlias {
		return nil, ErrName
	}
	if err != nil {
		return nil, err
	}
	v := &veth{name: name, index: l.Attrs().Index, mac: MAC(l.Attrs().HardwareAddr)}
	if err := v.setUp(l, peer); err != nil {
		return nil, errors.Join(err, v.remove())
	}
	return v, nil
}

func (v *veth) setUp(l netlink.Link, peer string) error {
	p, err := netlink.LinkByName(peer)
	if err != nil {
		return err
	}
	for _, name := range []string{v.name, peer} {
		for _, s := range []struct{ path, value string }{
			{"ipv6/conf/" + name + "/addr_gen_mode", "1"}, // no link-local address
			{"ipv6/conf/" + name + "/accept_ra", "0"},
		} {
			if err := sysctl(s.path, s.value); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if err := sysctl("ipv4/conf/"+v.name+"/rp_filter", "2"); err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: vethAddr, Scope: unix.RT_SCOPE_HOST}
	return errors.Join(netlink.AddrReplace(l, addr), netlink.LinkSetUp(p), netlink.LinkSetUp(l))
}

// sysctl sets a value below /proc/sys/net, which shows the network namespace
// of the calling thread.
func sysctl(path, value string) error {
	return os.WriteFile("/proc/sys/net/"+path, []byte(value), 0)
}

// readdress copies a frame without its VLAN tags and with the MAC address of
// the veth as its destination.
func (v *veth) readdress(frame []byte) []byte {
	at := ethernetBytes - 2
	for at+4 < len(frame) && isTag(binary.BigEndian.Uint16(frame[at:])) {
		at += 4
	}
	if len(frame) < ethernetBytes {
		return frame
	}
	out := make([]byte, 0, len(frame))
	out = append(out, v.mac[:]...)
	out = append(out, frame[6:12]...)
	return append(out, frame[at:]...)
}

func isTag(ethertype uint16) bool { return ethertype == 0x8100 || ethertype == 0x88a8 }

// RemoveVeth removes the pair that a way back for generic XDP has left in the
// network namespace of the calling thread, by a crash. It leaves what is there
// and not lvx's.
func RemoveVeth(name string) error {
	l, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) || err == nil && l.Attrs().Alias != vethAlias {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// remove deletes the pair by its index: a name may be somebody else's by now.
func (v *veth) remove() error {
	l, err := netlink.LinkByIndex(v.index)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return err
	}
	return netlink.LinkDel(l)
}
