package oracle

import (
	"net/netip"

	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/packet"
)

// The network of guest/setup.sh, as lvx is told of it.

var links = []dataplane.Link{
	{
		Name: "pub0", NIC: 0, MAC: dataplane.MAC{2, 0, 0, 0, 0, 0xd1}, MTU: 1500,
		Addr4: addrOf("203.0.113.2"), Addr6: addrOf("2001:db8:1::2"),
	},
	{
		Name: "prv0", NIC: 1, MAC: dataplane.MAC{2, 0, 0, 0, 0, 0xd2}, MTU: 1500,
		Addr4: addrOf("10.1.0.1"), Addr6: addrOf("fd00:1::1"),
	},
}

// own are the director's addresses; VIPs among them, as they are to be local.
var own = []packet.Addr{
	addrOf("203.0.113.2"), addrOf("10.1.0.1"), addrOf("2001:db8:1::2"), addrOf("fd00:1::1"),
	addrOf("203.0.113.100"), addrOf("203.0.113.101"), addrOf("2001:db8:1::100"),
}

// noRoute is an address that no route leads to.
var noRoute = netip.MustParseAddr("192.168.77.7")

// nobody is a neighbour that does not answer.
var nobody = addrOf("10.1.0.99")

var routes = table{
	{"203.0.113.0/24", 0, "", 1500}, {"203.0.113.53/32", 0, "", 1300}, {"198.51.100.0/24", 0, "203.0.113.254", 1500},
	{"10.1.0.0/24", 1, "", 1500}, {"10.1.0.15/32", 1, "", 1200},
	{"2001:db8:1::/64", 0, "", 1500}, {"2001:db8:1::53/128", 0, "", 1300},
	{"fd00:1::/64", 1, "", 1500}, {"fd00:1::15/128", 1, "", 1290},
	{"192.168.78.0/24", 0, "unreachable", 0}, {"192.168.79.0/24", 0, "prohibit", 0}, {"192.168.80.0/24", 0, "blackhole", 0},
	{"2001:db8:78::/64", 0, "unreachable", 0}, {"2001:db8:79::/64", 0, "prohibit", 0}, {"2001:db8:80::/64", 0, "blackhole", 0},
}

// The neighbours that setup.sh makes known, and who is behind them.
var (
	servers4 = []string{"10.1.0.11", "10.1.0.12", "10.1.0.13", "10.1.0.14", "10.1.0.15", "10.1.0.16", "10.1.0.61", "10.1.0.62", "10.1.0.63",
		"203.0.113.31", "203.0.113.32", "203.0.113.33"}
	clients4 = []string{"203.0.113.51", "203.0.113.52", "203.0.113.53", "203.0.113.54", "198.51.100.10", "10.1.0.11", "10.1.0.12", "10.1.0.13",
		"10.1.0.14", "10.1.0.15", "203.0.113.31", "203.0.113.32", "203.0.113.33"}
	servers6 = []string{"fd00:1::11", "fd00:1::12", "fd00:1::13", "fd00:1::14", "fd00:1::15", "fd00:1::16"}
	clients6 = []string{"2001:db8:1::51", "2001:db8:1::52", "2001:db8:1::53", "fd00:1::11", "fd00:1::12", "fd00:1::13", "fd00:1::14", "fd00:1::15"}
)

type table []struct {
	prefix string
	link   dataplane.LinkID
	via    string
	mtu    int
}

func (t table) Next(dst, _ packet.Addr, _ dataplane.LinkID, _ uint32) (next dataplane.Next, ok bool) {
	longest := -1
	for _, r := range t {
		prefix := netip.MustParsePrefix(r.prefix)
		if !prefix.Contains(dst.Netip()) || prefix.Bits() <= longest {
			continue
		}
		longest, next = prefix.Bits(), dataplane.Next{Link: r.link, Via: dst, MTU: r.mtu, Refused: refusals[r.via]}
		if r.via != "" && next.Refused == 0 {
			next.Via = addrOf(r.via)
		}
	}
	return next, longest >= 0 && next.Refused == 0
}

var refusals = map[string]dataplane.Refusal{
	"unreachable": dataplane.Unreachable, "prohibit": dataplane.Prohibited, "blackhole": dataplane.Blackhole,
}

func addrOf(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }

// neighbourOf returns the neighbour by which packets from and to a come and go.
func neighbourOf(a netip.Addr) netip.Addr {
	if next, ok := routes.Next(packet.AddrFrom(a), packet.Addr{}, 0, 0); ok {
		return next.Via.Netip()
	}
	return a
}

func macOf(a netip.Addr) dataplane.MAC {
	b := a.AsSlice()
	return dataplane.MAC{0x0a, byte(len(b)), b[len(b)-4], b[len(b)-3], b[len(b)-2], b[len(b)-1]}
}
