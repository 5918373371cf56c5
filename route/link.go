package route

import (
	"maps"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is what the kernel says of a link (NIC or virtual device).
type Link struct {
	Index      int
	Name       string
	Kind       string // "" for hardware, else veth, bridge, bond, vlan, macvlan, tun, gre, ...
	Driver     string // as `ethtool -i` names it, "" if the device does not say
	MTU        int
	MAC        [6]byte
	MACs       [][6]byte // all unicast addresses that frames for this link may carry: its own, those of macvlan (also VRRP) and VLAN devices on it
	Up         bool      // administratively
	Carrier    bool
	OperState  string // up, down, dormant, lower-layer-down, unknown, ...
	Ethernet   bool   // frames have Ethernet headers
	Loopback   bool
	ARP        bool   // asks neighbours for their addresses
	Tunnel     bool   // encapsulates: gre, ipip, sit, vxlan, wireguard, tun, ...
	Master     int    // ifindex of the bond or bridge it belongs to, 0 = none
	MasterKind string // bond, bridge, vrf, ...
	Parent     int    // ifindex of the link below a vlan, macvlan or ipvlan device, 0 = none
	VLAN       uint16 // id, of a vlan device
	VLANProto  uint16 // 0x8100 or 0x88a8, of a vlan device
	Removed    bool   // it is gone
}

var tunnels = []string{
	"gre", "gretap", "ip6gre", "ip6gretap", "erspan", "ip6erspan", "ipip", "ip6tnl", "sit",
	"vti", "vti6", "vxlan", "geneve", "wireguard", "xfrm", "bareudp", "gtp", "ppp", "amt",
}

// stacked are the kinds that send by the link below them.
var stacked = []string{"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"}

// decodeLink reads an ifinfomsg; ok is false for a bridge's word on its ports.
func decodeLink(b []byte) (Link, bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] == unix.AF_BRIDGE {
		return Link{}, false
	}
	dev, err := netlink.LinkDeserialize(nil, b)
	if err != nil {
		return Link{}, false
	}
	a := dev.Attrs()
	l := Link{
		Index: a.Index, Name: a.Name, Kind: dev.Type(), MTU: a.MTU,
		Up: a.RawFlags&unix.IFF_UP != 0, Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0,
		OperState: a.OperState.String(), Ethernet: a.EncapType == "ether",
		Loopback: a.RawFlags&unix.IFF_LOOPBACK != 0, ARP: a.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) == 0,
		Master: a.MasterIndex,
	}
	switch l.Kind {
	case "device":
		l.Kind = ""
	case "tuntap":
		l.Kind = "tun"
	}
	if len(a.HardwareAddr) == len(l.MAC) {
		l.MAC = [6]byte(a.HardwareAddr)
	}
	// A tap device is a plain NIC to this machine, a tun device is not.
	l.Tunnel = slices.Contains(tunnels, l.Kind) || l.Kind == "tun" && !l.Ethernet || a.RawFlags&unix.IFF_POINTOPOINT != 0
	// A parent in another namespace has a number that means nothing here.
	if l.stacked() && a.NetNsID < 0 {
		l.Parent = a.ParentIndex
	}
	if vlan, ok := dev.(*netlink.Vlan); ok {
		l.VLAN, l.VLANProto = uint16(vlan.VlanId), uint16(vlan.VlanProtocol)
	}
	return l, true
}

// settle fills in what links say of each other: the kind of a master, and the
// MAC addresses that devices on a link bring to it.
func settle(links map[int]Link) {
	for index, l := range links {
		l.MasterKind, l.MACs = links[l.Master].Kind, nil
		if l.MAC != [6]byte{} {
			l.MACs = [][6]byte{l.MAC}
		}
		links[index] = l
	}
	for _, index := range slices.Sorted(maps.Keys(links)) {
		child := links[index]
		if !child.Up || child.MAC == [6]byte{} {
			continue
		}
		for below, depth := child.Parent, 0; below != 0 && depth < maxStack; depth++ {
			l, ok := links[below]
			if !ok {
				break
			}
			if !slices.Contains(l.MACs, child.MAC) {
				l.MACs = append(slices.Clip(l.MACs), child.MAC)
				links[below] = l
			}
			below = l.Parent
		}
	}
}

// stacked reports whether l sends by a link below it.
func (l Link) stacked() bool { return slices.Contains(stacked, l.Kind) }

// maxStack bounds a walk down stacked devices (the kernel allows 8 levels).
const maxStack = 8
