package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// talk is a control connection of FTP that an author leads, with data
// connections. What is said there has right numbers, by which the kernel's
// connection tracking knows it.
type talk struct {
	*dialog
	over bool
}

// most is how many talks an author leads.
const mostTalks = 4

// dial opens a control connection, if there is a service of FTP.
func (a *author) dial(name string) {
	if a.talks == nil || len(a.talks) == mostTalks {
		return
	}
	client := netip.AddrPortFrom(a.client(false).Addr(), uint16(41000+len(a.talks)))
	d := newDialog(client, netip.MustParseAddrPort("203.0.113.101:21"), netip.AddrPort{})
	a.send(name, d.says(ofClient, "S", ""))
	at := slices.IndexFunc(a.conns(), func(c conn) bool { return c.client == client && c.virtual == d.virtual })
	if at < 0 {
		return // no server is usable
	}
	d.real = a.conns()[at].real
	a.send(name, d.says(ofServer, "SA", ""))
	a.send(name, d.says(ofClient, "A", ""))
	a.talks = append(a.talks, &talk{dialog: d})
}

// leads returns a talk that goes on.
func (a *author) leads() *talk {
	open := slices.DeleteFunc(slices.Clone(a.talks), func(t *talk) bool {
		return t.over || !slices.ContainsFunc(a.conns(), func(c conn) bool {
			return c.client == t.client && c.virtual == t.virtual && c.state == "ESTABLISHED"
		})
	})
	if len(open) == 0 {
		return nil
	}
	return choose(a, open...)
}

// converse has a client ask for a data connection, or for nothing.
func (a *author) converse(name string) {
	t := a.leads()
	if t == nil {
		return
	}
	port := uint16(50000 + a.IntN(3)*257)
	six := func(e netip.Addr) string {
		return fmt.Sprintf("%s,%d,%d", strings.ReplaceAll(e.String(), ".", ","), port>>8, port&255)
	}
	asks := [][2]string{
		{"NOOP", "200 NOOP ok."}, {"TYPE I", "200 Type set to I."},
		{"PASV", fmt.Sprintf("227 Entering Passive Mode (<%s=%s>).", six(t.real.Addr()), six(t.virtual.Addr()))},
		{"EPSV", fmt.Sprintf("229 Entering Extended Passive Mode (|||%d|)", port)},
	}
	// IPVS would take up a connection that was there.
	waits := netip.AddrPortFrom(t.client.Addr(), port)
	if !slices.ContainsFunc(a.conns(), func(c conn) bool { return c.client == waits && c.state != "LISTEN" }) {
		asks = append(asks, [2]string{"PORT " + six(waits.Addr()), "200 PORT command successful."},
			[2]string{fmt.Sprintf("EPRT |1|%v|%d|", waits.Addr(), port), "200 EPRT command successful."})
	}
	ask := choose(a, asks...)
	a.send(name, t.says(ofClient, "PA", ask[0]+"\r\n"))
	if a.IntN(6) == 0 {
		a.send(name, &t.ends[ofClient].last)
	}
	if a.IntN(8) > 0 {
		a.send(name, t.says(ofServer, "PA", ask[1]+"\r\n"))
		if a.IntN(6) == 0 {
			a.send(name, &t.ends[ofServer].last)
		}
		a.send(name, t.says(ofClient, "A", ""))
	}
}

// untold has a client call the VIP of FTP by a port that nobody told it of.
func (a *author) untold(name string) {
	client := netip.AddrPortFrom(a.client(false).Addr(), uint16(43000+a.IntN(3)))
	virtual := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.101"), choose[uint16](a, 20, 1023, 1024, 50000, 50257))
	a.send(name, a.fresh(protoTCP, client, virtual, choose(a, "S", "S", "SA", "A", "R")))
}

// transfer goes on with a data connection.
func (a *author) transfer(name string) {
	if a.talks != nil && a.IntN(4) == 0 {
		a.untold(name)
		return
	}
	all := slices.DeleteFunc(a.conns(), func(c conn) bool { return !c.isData() })
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b conn) int { return strings.Compare(a.String(), b.String()) })
	c := choose(a, all...)
	switch {
	case c.awaited:
		c.client = netip.AddrPortFrom(c.client.Addr(), uint16(42000+a.IntN(3)))
		a.send(name, a.of(c, true, "S"))
	case c.state == "LISTEN":
		a.send(name, a.of(c, false, "S"))
		a.send(name, a.of(c, true, "SA"))
	case c.state == "SYN_RECV" && c.virtual.Port() == 20:
		a.send(name, a.of(c, false, "A"))
	case c.state == "SYN_RECV":
		a.send(name, a.of(c, false, "SA"))
		a.send(name, a.of(c, true, "A"))
	case c.state != "CLOSE" && c.state != "TIME_WAIT":
		a.send(name, a.of(c, a.IntN(2) == 0, choose(a, "A", "PA", "FA", "RA")))
	}
}

// isData reports whether c is a data connection of FTP in random scenarios. What
// happens to it is what connection tracking finds in order. A template that
// keeps nobody any more has port 65535; a server that called port 0 of its client
// would meet it in the kernel, which then gives it the state of a connection.
func (c conn) isData() bool {
	return !c.isTemplate() && c.proto == "TCP" && c.virtual.Addr().String() == "203.0.113.101" && (c.virtual.Port() == 20 || c.virtual.Port() >= 50000)
}

// hangUp ends a control connection.
func (a *author) hangUp(name string) {
	if t := a.leads(); t != nil {
		t.over = true
		a.send(name, t.says(ofClient, "PA", "QUIT\r\n"))
		a.send(name, t.says(ofServer, "PA", "221 Bye.\r\n"))
		a.send(name, t.says(ofServer, choose(a, "FA", "RA"), ""))
		a.send(name, t.says(ofClient, choose(a, "FA", "R"), ""))
	}
}
