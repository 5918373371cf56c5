package netlab

import "errors"

// Net is one of the ready-made topologies: a client, a director and servers.
type Net struct {
	*Lab
	Client, Director *Host
	Switch           *Host // the host that holds the bridge
	Servers          []*Host

	VIP, VIP6       string   // the virtual addresses; no NIC has them yet
	DIP, DIP6       string   // the director's addresses on the servers' side
	CIP, CIP6       string   // the client's first addresses
	Gateway         string   // the director's own address on the client's side
	Gateway6        string   // likewise
	RIPs, RIP6s     []string // the servers' addresses
	Public, Private string   // the director's NICs; Private is empty on one network
}

// TwoNIC lays out the classic LVS-NAT network:
//
//	client 172.25.8.10 — director 172.25.8.100 | 172.25.254.1 — servers 172.25.254.2, .3
//
// The servers' default route is the director. IPv6 is fd00:8::/64 outside and
// fd00:254::/64 inside, with the same last digits.
func TwoNIC() (*Net, error) {
	n := &Net{
		VIP: "172.25.8.110", DIP: "172.25.254.1", CIP: "172.25.8.10",
		Gateway: "172.25.8.100", Gateway6: "fd00:8::100",
		VIP6: "fd00:8::110", DIP6: "fd00:254::1", CIP6: "fd00:8::10",
		RIPs:   []string{"172.25.254.2", "172.25.254.3"},
		RIP6s:  []string{"fd00:254::2", "fd00:254::3"},
		Public: "pub0", Private: "priv0",
	}
	return n.build(func() error {
		return errors.Join(
			n.Link(n.Client, "eth0", n.Director, "pub0"),
			n.Client.Address("eth0", n.CIP+"/24"),
			n.Client.Address("eth0", n.CIP6+"/64"),
			n.Client.Route("default", n.Gateway, "eth0"),
			n.Client.Route("default6", n.Gateway6, "eth0"),
			n.Director.Address("pub0", n.Gateway+"/24"),
			n.Director.Address("pub0", n.Gateway6+"/64"),
			n.Director.Address("priv0", n.DIP+"/24"),
			n.Director.Address("priv0", n.DIP6+"/64"),
			n.eachServer(func(s *Host, rip, rip6 string) error {
				return errors.Join(
					s.Address("eth0", rip+"/24"),
					s.Address("eth0", rip6+"/64"),
					s.Route("default", n.DIP, "eth0"),
					s.Route("default6", n.DIP6, "eth0"))
			}))
	}, "priv0")
}

// OneNet lays out client, director and three servers on one network,
// 192.168.1.0/24. The servers know no neighbour but the director (.9), so all
// their answers go through it. IPv6 is fd00:1::/64.
func OneNet() (*Net, error) {
	n := &Net{
		VIP: "192.168.1.110", DIP: "192.168.1.9", CIP: "192.168.1.254",
		Gateway: "192.168.1.9", Gateway6: "fd00:1::9",
		VIP6: "fd00:1::110", DIP6: "fd00:1::9", CIP6: "fd00:1::254",
		RIPs:   []string{"192.168.1.2", "192.168.1.3", "192.168.1.4"},
		RIP6s:  []string{"fd00:1::2", "fd00:1::3", "fd00:1::4"},
		Public: "eth0",
	}
	return n.build(func() error {
		return errors.Join(
			n.join(n.Client),
			n.Client.Address("eth0", n.CIP+"/24"),
			n.Client.Address("eth0", n.CIP6+"/64"),
			n.Director.Address("eth0", n.DIP+"/24"),
			n.Director.Address("eth0", n.DIP6+"/64"),
			n.eachServer(func(s *Host, rip, rip6 string) error {
				return errors.Join(
					s.Address("eth0", rip+"/32"),
					s.Address("eth0", rip6+"/128"),
					s.Route(n.DIP+"/32", "", "eth0"),
					s.Route(n.DIP6+"/128", "", "eth0"),
					s.Route("default", n.DIP, "eth0"),
					s.Route("default6", n.DIP6, "eth0"))
			}))
	}, "eth0")
}

// build makes the hosts, joins the director's inner NIC and the servers by a
// bridge, and lets addresses do the rest. On an error nothing remains.
func (n *Net) build(addresses func() error, inner string) (*Net, error) {
	var err error
	if n.Lab, err = New(); err != nil {
		return nil, err
	}
	if err = n.addHosts(inner); err == nil {
		err = addresses()
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Net) addHosts(inner string) error {
	hosts, err := n.Hosts("client", "director", "switch")
	if err != nil {
		return err
	}
	n.Client, n.Director, n.Switch = hosts[0], hosts[1], hosts[2]
	names := []string{"server1", "server2", "server3"}[:len(n.RIPs)]
	if n.Servers, err = n.Hosts(names...); err != nil {
		return err
	}
	if err := n.Switch.Bridge("br0"); err != nil {
		return err
	}
	if err := n.Link(n.Director, inner, n.Switch, "director"); err != nil {
		return err
	}
	if err := n.Switch.Bridged("br0", "director"); err != nil {
		return err
	}
	return n.eachServer(func(s *Host, _, _ string) error { return n.join(s) })
}

// join plugs eth0 of h into the bridge.
func (n *Net) join(h *Host) error {
	return errors.Join(n.Link(h, "eth0", n.Switch, h.Name), n.Switch.Bridged("br0", h.Name))
}

func (n *Net) eachServer(do func(s *Host, rip, rip6 string) error) error {
	var errs []error
	for i, s := range n.Servers {
		errs = append(errs, do(s, n.RIPs[i], n.RIP6s[i]))
	}
	return errors.Join(errs...)
}
