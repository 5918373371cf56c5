package lvx

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvx-lb/lvx/bpf"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/route"
)

// maxMTU is the largest that native XDP takes without fragments: a page less
// the kernel's headroom and its own data.
const maxMTU = 3498

// links are the links of a director, by LinkID, and the NICs below them.
type links struct {
	nics []nicFacts
	list []linkFacts
}

type nicFacts struct {
	name       string
	ifindex    int
	macs       [][6]byte
	partial    bool   // frames may come with unfinished checksums
	carrier    bool   // it had one at the start
	trouble    string // why it cannot work, as was last told
	driver     string
	interrupts bool // frames leave when the driver has interrupted itself
	lost       bool // its program may not run any more
	gone       bool // it was deleted
	large      bool // it was named for a frame that was too long
}

type linkFacts struct {
	name    string
	ifindex int // of the device that routes name
	nic     int // index into nics
	key     bpf.Link
}

// findLinks looks the named links up and refuses those that cannot work, with
// the remedy.
func findLinks(m *route.Mirror, names []string) (*links, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: none given", ErrNIC)
	}
	l := &links{}
	for _, name := range names {
		if err := l.add(m, name); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *links) add(m *route.Mirror, name string) error {
	dev, err := m.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%w: there is no NIC %q; this machine has %s", ErrNIC, name, there(m))
	}
	way, err := m.Egress(dev.Index)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNIC, name, err)
	}
	below, err := m.Link(way.NIC)
	if err != nil {
		return err
	}
	if why := unusable(below); why != "" {
		return fmt.Errorf("%w: %s: %s", ErrNIC, name, why)
	}
	at := -1
	for i := range l.nics {
		if l.nics[i].ifindex == below.Index {
			at = i
		}
	}
	if at < 0 {
		at = len(l.nics)
		l.nics = append(l.nics, nicFacts{
			name: below.Name, ifindex: below.Index, macs: below.MACs, partial: leavesPartial(below),
			carrier: below.Carrier, driver: below.Driver,
		})
	}
	for _, other := range l.list {
		if other.ifindex == dev.Index {
			return fmt.Errorf("%w: %s is named twice", ErrNIC, name)
		}
	}
	l.list = append(l.list, linkFacts{name, dev.Index, at, bpf.Link{Ifindex: below.Index, Tags: way.Tags, NTags: way.NTags}})
	return nil
}

// there lists the NICs of this machine, not too many.
func there(m *route.Mirror) string {
	const enough = 12
	var names []string
	for _, l := range m.Links() {
		if !l.Loopback && len(names) < enough {
			names = append(names, l.Name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// unusable says why AF_XDP cannot work on a NIC, and what to do.
func unusable(l route.Link) string {
	switch {
	case l.Loopback:
		return "the loopback device carries no clients"
	case l.Kind == "bond":
		return "a bond has no AF_XDP of its own; name its members instead"
	case l.Kind == "bridge":
		return "a bridge has no AF_XDP of its own; name its members, or take the NIC out of the bridge"
	case l.MasterKind == "bridge":
		return "it belongs to a bridge, which would never see its frames; take it out of the bridge"
	case l.Tunnel:
		return "a tunnel device has no Ethernet frames; name the NIC below it"
	case !l.Ethernet:
		return "it has no Ethernet frames"
	case l.MTU > maxMTU:
		return fmt.Sprintf("its MTU is %d, at most %d fits; run: ip link set %s mtu 1500", l.MTU, maxMTU, l.Name)
	case !l.Up:
		return fmt.Sprintf("it is down; run: ip link set %s up", l.Name)
	}
	return ""
}

// leavesPartial tells whether a sender on the same machine may leave checksums
// to a NIC that is none.
func leavesPartial(l route.Link) bool {
	switch l.Driver {
	case "veth", "virtio_net", "tun", "vmxnet3", "xen_netfront", "hv_netvsc":
		return true
	}
	return l.Kind == "veth" || l.Driver == ""
}

// byIfindex returns the link whose device routes name.
func (l *links) byIfindex(ifindex int) (dataplane.LinkID, bool) {
	for id := range l.list {
		if l.list[id].ifindex == ifindex {
			return dataplane.LinkID(id), true
		}
	}
	return 0, false
}

// forWorker describes the links as they are now.
func (l *links) forWorker(m *route.Mirror) []dataplane.Link {
	all := make([]dataplane.Link, len(l.list))
	for i, f := range l.list {
		all[i] = dataplane.Link{
			Name: f.name, NIC: f.nic, Tags: f.key.Tags, NTags: f.key.NTags,
			Partial: l.nics[f.nic].partial, MTU: 1500,
		}
		if dev, err := m.Link(f.ifindex); err == nil {
			all[i].MAC, all[i].MTU = dev.MAC, dev.MTU
		}
		all[i].Addr4 = ownAddress(m, f.ifindex, false)
		all[i].Addr6 = ownAddress(m, f.ifindex, true)
	}
	return all
}

// ownAddress chooses the source of errors to hosts on a link: the first
// address of a network there, which is the director's own; else a host
// address, which may be a VIP.
func ownAddress(m *route.Mirror, ifindex int, v6 bool) packet.Addr {
	var own netip.Addr
	for _, a := range m.Addresses() {
		ip := a.Prefix.Addr()
		if a.Ifindex != ifindex || ip.Is6() != v6 || ip.IsLinkLocalUnicast() || a.Removed {
			continue
		}
		if a.Prefix.Bits() < ip.BitLen() {
			return packet.AddrFrom(ip)
		}
		if !own.IsValid() {
			own = ip
		}
	}
	return packet.AddrFrom(own)
}

// unshown names the veths with VLANs: whatever their own settings are, the
// other end decides whether a tag is in the frame, and by default it is not.
func (l *links) unshown() []string {
	var names []string
	for _, f := range l.list {
		if n := l.nics[f.nic]; f.key.NTags > 0 && n.driver == "veth" && !slices.Contains(names, n.name) {
			names = append(names, n.name)
		}
	}
	return names
}
