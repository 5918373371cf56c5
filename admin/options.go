package admin

import (
	"math"
	"net/netip"
	"strings"

	"github.com/lvx-lb/lvx/service"
)

// optionTable has every option of ipvsadm 1.31.
var optionTable = []option{
	{long: "add-service", short: 'A', verb: addService},
	{long: "edit-service", short: 'E', verb: editService},
	{long: "delete-service", short: 'D', verb: deleteService},
	{long: "clear", short: 'C', verb: flush},
	{long: "list", short: 'L', verb: list},
	{long: "list", short: 'l', verb: list},
	{long: "zero", short: 'Z', verb: zero},
	{long: "add-server", short: 'a', verb: addServer},
	{long: "edit-server", short: 'e', verb: editServer},
	{long: "delete-server", short: 'd', verb: deleteServer},
	{long: "set", verb: setTimeouts},
	{long: "help", short: 'h', verb: help},
	{long: "version", short: 'v', verb: version},
	{long: "restore", short: 'R', verb: restore},
	{long: "save", short: 'S', verb: save},
	{long: "start-daemon", arity: valued, verb: startDaemon},
	{long: "stop-daemon", arity: valued, verb: stopDaemon},

	{long: "tcp-service", short: 't', arity: valued, set: vip(service.TCP)},
	{long: "udp-service", short: 'u', arity: valued, set: vip(service.UDP)},
	{long: "sctp-service", arity: valued, set: vip(service.SCTP)},
	{long: "fwmark-service", short: 'f', arity: valued, set: (*parser).setMark},
	{long: "ipv6", short: '6', set: (*parser).setIPv6},
	{long: "scheduler", short: 's', arity: valued, set: (*parser).setScheduler},
	{long: "persistent", short: 'p', arity: maybeValued, set: (*parser).setPersistent},
	{long: "netmask", short: 'M', arity: valued, set: (*parser).setNetmask},
	{long: "ops", short: 'o', set: flag(onePacket)},
	{long: "pe", arity: valued, set: (*parser).setEngine},
	{long: "sched-flags", short: 'b', arity: valued, set: (*parser).setSchedFlags},

	{long: "real-server", short: 'r', arity: valued, set: (*parser).setServer},
	{long: "masquerading", short: 'm', set: method(service.Masq)},
	{long: "ipip", short: 'i', set: method(service.Tunnel)},
	{long: "gatewaying", short: 'g', set: method(service.Route)},
	{long: "weight", short: 'w', arity: valued, set: number(weight, 0, math.MaxInt32, "weight")},
	{long: "u-threshold", short: 'x', arity: valued, set: number(upperThreshold, 0, math.MaxInt32, "u_threshold")},
	{long: "l-threshold", short: 'y', arity: valued, set: number(lowerThreshold, 0, math.MaxInt32, "l_threshold")},
	{long: "tun-type", arity: valued, set: (*parser).setTunnelType},
	{long: "tun-port", arity: valued, set: number(tunPort, 1, 65535, "tunnel port")},
	{long: "tun-nocsum", set: flag(tunNocsum)},
	{long: "tun-csum", set: flag(tunCsum)},
	{long: "tun-remcsum", set: flag(tunRemcsum)},

	{long: "numeric", short: 'n', set: flag(numeric)},
	{long: "connection", short: 'c', set: flag(connection)},
	{long: "timeout", set: flag(timeout)},
	{long: "daemon", set: flag(daemon)},
	{long: "stats", set: flag(stats)},
	{long: "rate", set: flag(rate)},
	{long: "thresholds", set: flag(thresholds)},
	{long: "persistent-conn", set: flag(persistentConn)},
	{long: "tun-info", set: flag(tunInfo)},
	{long: "exact", short: 'X', set: flag(exact)},
	{long: "nosort", set: flag(noSort)},
	{long: "sort", set: func(*parser, value) error { return nil }},

	{long: "syncid", arity: valued, set: number(syncID, 0, 255, "syncid")},
	{long: "sync-maxlen", arity: valued, set: number(syncMaxlen, 1, 65507, "sync-maxlen")},
	{long: "mcast-interface", arity: valued, set: flag(mcastInterface)},
	{long: "mcast-group", arity: valued, set: (*parser).setMcastGroup},
	{long: "mcast-port", arity: valued, set: number(mcastPort, 1, 65535, "mcast-port")},
	{long: "mcast-ttl", arity: valued, set: number(mcastTTL, 1, 255, "mcast-ttl")},
}

// give notes that o was given; most options may be given once.
func (p *parser) give(o options) error {
	if p.given&o != 0 {
		return usage("multiple '%s' options specified", o.name())
	}
	p.given |= o
	return nil
}

func flag(o options) func(*parser, value) error {
	return func(p *parser, _ value) error { return p.give(o) }
}

func number(o options, low, high int64, name string) func(*parser, value) error {
	return func(p *parser, v value) error {
		if err := p.give(o); err != nil {
			return err
		}
		n, ok := parseNumber(v.text, low, high)
		if !ok {
			return usage("illegal %s specified", name)
		}
		p.numbers[o] = n
		return nil
	}
}

func method(m service.Method) func(*parser, value) error {
	return func(p *parser, _ value) error {
		p.method = m
		return p.give(forwardingMethod)
	}
}

func vip(proto service.Protocol) func(*parser, value) error {
	return func(p *parser, v value) error {
		if err := p.give(serviceAddress); err != nil {
			return err
		}
		p.key.Protocol = proto
		addr, hasPort, ok := p.names.address(v.text, proto)
		if !ok {
			return usage("illegal virtual server address[:port] specified")
		}
		p.vip, p.vport = addr.Addr(), 0
		if hasPort {
			p.vport = addr.Port()
		}
		if p.v6 = p.vip.Is6(); p.v6 {
			p.prefix = 128
		}
		return nil
	}
}

func (p *parser) setMark(v value) error {
	if err := p.give(serviceAddress); err != nil {
		return err
	}
	n, ok := parseNumber(v.text, 1, math.MaxUint32)
	if !ok {
		return usage("invalid fwmark value `%s' specified", v.text)
	}
	p.key.Mark = uint32(n)
	return nil
}

func (p *parser) setIPv6(value) error {
	if p.key.Mark == 0 {
		return usage("-6 used before -f\n") // ipvsadm ends this one with an empty line
	}
	p.v6, p.prefix = true, 128
	return nil
}

func (p *parser) setScheduler(v value) error {
	p.scheduler = v.text
	return p.give(schedulerName)
}

func (p *parser) setSchedFlags(v value) error {
	p.flags = v.text
	return p.give(schedFlags)
}

func (p *parser) setEngine(v value) error {
	p.engine = v.text
	return p.give(engine)
}

func (p *parser) setPersistent(v value) (err error) {
	if err := p.give(persistent); err != nil {
		return err
	}
	p.persistent = defaultPersistence
	if v.given {
		p.persistent, err = parseTimeout(v.text, 1)
	}
	return err
}

func (p *parser) setNetmask(v value) error {
	if err := p.give(netmask); err != nil {
		return err
	}
	if p.v6 {
		p.prefix = leadingNumber(v.text)
		if p.prefix < 1 || p.prefix > 128 {
			return usage("illegal ipv6 netmask specified")
		}
		return nil
	}
	mask, ok := p.names.addr4(v.text)
	if !ok {
		return usage("illegal virtual server persistent mask specified")
	}
	p.mask = mask
	return nil
}

func (p *parser) setServer(v value) error {
	if err := p.give(realServer); err != nil {
		return err
	}
	proto := p.key.Protocol
	if p.key.Mark != 0 {
		proto = service.TCP // for the names of ports
	}
	addr, hasPort, ok := p.names.address(v.text, proto)
	if !ok {
		return usage("illegal real server address[:port] specified")
	}
	p.rip, p.rport = addr.Addr(), p.vport
	if hasPort {
		p.rport = addr.Port()
	}
	return nil
}

func (p *parser) setTunnelType(v value) error {
	if err := p.give(tunType); err != nil {
		return err
	}
	for i := range tunnels {
		if tunnels[i].name == v.text {
			p.tunnel = i
			return nil
		}
	}
	return usage("illegal tunnel type specified")
}

func (p *parser) setMcastGroup(v value) error {
	if err := p.give(mcastGroup); err != nil {
		return err
	}
	family := "IPv4"
	if strings.Contains(v.text, ":") {
		family = "IPv6"
	}
	if group, err := netip.ParseAddr(v.text); err != nil || !group.IsMulticast() {
		return usage("invalid %s mcast-group `%s'", family, v.text)
	}
	return nil
}
