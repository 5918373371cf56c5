package route

import (
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// linkMessage is what the kernel says of a device, for kinds that the testing
// kernel may lack.
func linkMessage(kind string, data func(*nl.RtAttr), attrs ...*nl.RtAttr) []byte {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index, msg.Type, msg.Flags = 7, unix.ARPHRD_ETHER, unix.IFF_UP|unix.IFF_LOWER_UP
	b := msg.Serialize()
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.ZeroTerminated(kind))
	if data != nil {
		data(info.AddRtAttr(nl.IFLA_INFO_DATA, nil))
	}
	for _, a := range append(attrs, info, nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated("x"))) {
		b = append(b, a.Serialize()...)
	}
	return b
}

func TestVLANDeviceNamesItsParentAndTag(t *testing.T) {
	tag := func(d *nl.RtAttr) {
		d.AddRtAttr(nl.IFLA_VLAN_ID, nl.Uint16Attr(10))
		d.AddRtAttr(nl.IFLA_VLAN_PROTOCOL, []byte{0x88, 0xa8})
	}
	parent := nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(3))
	l, ok := decodeLink(linkMessage("vlan", tag, parent))
	if !ok || l.Kind != "vlan" || l.Parent != 3 || l.VLAN != 10 || l.VLANProto != 0x88a8 || !l.Up || !l.Carrier {
		t.Errorf("vlan device: %+v, %v", l, ok)
	}
	elsewhere := nl.NewRtAttr(unix.IFLA_LINK_NETNSID, nl.Uint32Attr(0))
	if l, _ := decodeLink(linkMessage("vlan", tag, parent, elsewhere)); l.Parent != 0 {
		t.Errorf("a parent in another namespace: %+v", l)
	}
}

func TestTunnelsAndBondsAreTold(t *testing.T) {
	for kind, tunnel := range map[string]bool{"ip6gre": true, "ipip": true, "sit": true, "wireguard": true, "bond": false, "dummy": false} {
		if l, ok := decodeLink(linkMessage(kind, nil)); !ok || l.Kind != kind || l.Tunnel != tunnel {
			t.Errorf("%s: %+v, %v", kind, l, ok)
		}
	}
}

func TestBridgesWordOnItsPortsIsNoLink(t *testing.T) {
	b := linkMessage("veth", nil)
	b[0] = unix.AF_BRIDGE
	if l, ok := decodeLink(b); ok {
		t.Errorf("taken for a link: %+v", l)
	}
}

func TestRouteThatWantsMoreIsRefusedNotBypassed(t *testing.T) {
	l := newLab(t)
	m := l.open(Config{})
	m.stop()
	m.done.Wait()
	for beyond, narrow := range map[string]bool{"an encapsulation": false, "a tos": true} {
		r := &route{beyond: beyond, narrow: narrow, path: path{kind: Unicast, hops: []hop{{ifindex: 1, weight: 1}}}}
		held := m.usable(r)
		if held == narrow || held && (r.path.kind != Unreachable || len(r.path.hops) != 0) {
			t.Errorf("%s: held %v as %+v", beyond, held, r.path)
		}
		if l.log.count(beyond) != 1 {
			t.Errorf("%s: no warning", beyond)
		}
	}
}
