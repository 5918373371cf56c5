package admin

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/service"
)

const (
	defaultScheduler   = "wlc"
	defaultPersistence = 360 * time.Second
)

// parser holds what the options of one command line said.
type parser struct {
	names   *Names
	words   scanner
	verb    verb
	given   options
	numbers map[options]int64

	key        service.Key // protocol and mark; the address is vip and vport
	vip, rip   netip.Addr
	vport      uint16
	rport      uint16
	v6         bool // family of the service
	scheduler  string
	flags      string
	engine     string
	persistent time.Duration
	mask       netip.Addr // of -M for IPv4
	prefix     int        // of -M for IPv6
	method     service.Method
	tunnel     int // index of tunnels
	timeouts   service.Timeouts
}

// Parse reads one ipvsadm command line, args without the program's name. Its
// error is a *UsageError. Without args it lists all.
func Parse(args []string) (Command, error) {
	names := Names{}.orSystem()
	return parse(args, &names)
}

func parse(args []string, names *Names) (Command, error) {
	if len(args) == 0 {
		return Command{verb: list}, nil
	}
	p := parser{
		names:   names,
		words:   scanner{options: optionTable, words: args},
		numbers: map[options]int64{weight: 1},
		mask:    wholeMask,
		method:  service.Route,
	}
	if done, err := p.command(); done || err != nil {
		return Command{verb: p.verb}, err
	}
	if err := p.options(); err != nil {
		return Command{}, err
	}
	if err := p.arguments(); err != nil {
		return Command{}, err
	}
	flags, err := p.schedulerFlags()
	if err != nil {
		return Command{}, err
	}
	if err := commands[p.verb].check("command", 1<<len(optionNames)-1, p.given); err != nil {
		return Command{}, err
	}
	return p.finish(flags)
}

// command takes the first option, which must be a command. Help and version
// leave the rest of the line unread.
func (p *parser) command() (done bool, err error) {
	o, v, fault := p.words.option()
	if fault != "" || o == nil || o.verb == 0 {
		return true, tryHelp()
	}
	p.verb = o.verb
	master := v.text == "master" || v.text == "backup"
	switch {
	case p.verb == startDaemon && !master:
		return true, usage("illegal start-daemon parameter specified")
	case p.verb == stopDaemon && !master:
		return true, usage("illegal start_daemon specified")
	}
	return p.verb == help || p.verb == version, nil
}

func (p *parser) options() error {
	for {
		o, v, fault := p.words.option()
		switch {
		case fault != "":
			return &UsageError{Code: 255, Text: p.words.last() + ": " + fault, lenient: true}
		case o == nil:
			return nil
		case o.verb != 0:
			return usage("invalid option `%s'", p.words.last())
		}
		if err := o.set(p, v); err != nil {
			return err
		}
	}
}

// arguments takes the words that are no options: only --set has some.
func (p *parser) arguments() error {
	if p.verb == setTimeouts {
		if len(p.words.rest) < 3 {
			return usage("--set option requires 3 timeout values")
		}
		for _, d := range []*time.Duration{&p.timeouts.TCP, &p.timeouts.TCPFin, &p.timeouts.UDP} {
			word, _ := p.words.argument()
			var err error
			if *d, err = parseTimeout(word, 0); err != nil {
				return err
			}
		}
	}
	if word, ok := p.words.argument(); ok {
		return usage("unexpected argument %s", word)
	}
	return nil
}

// schedulerFlags reads the value of -b and returns the flags by the names
// that belong to the scheduler, in the order in which they are listed.
func (p *parser) schedulerFlags() ([]string, error) {
	if p.scheduler == "" {
		p.scheduler = defaultScheduler
	}
	generic := []string{"flag-1", "flag-2", "flag-3"}
	own := generic
	if p.scheduler == "sh" || p.scheduler == "mh" {
		own = []string{p.scheduler + "-fallback", p.scheduler + "-port", "flag-3"}
	}
	var set uint
	for word := range strings.SplitSeq(p.flags, ",") {
		bit := max(slices.Index(generic, word), slices.Index(own, word))
		switch {
		case bit >= 0:
			set |= 1 << bit
		case slices.Contains([]string{"sh-fallback", "sh-port", "mh-fallback", "mh-port"}, word):
			return nil, usage("incompatible scheduler flag `%s'", word)
		case word != "":
			return nil, usage("invalid scheduler flag `%s'", word)
		}
	}
	var flags []string
	for ; set != 0; set &= set - 1 {
		flags = append(flags, own[bits.TrailingZeros(set)])
	}
	return flags, nil
}

// finish checks what one option says against another and builds the Command.
func (p *parser) finish(flags []string) (c Command, err error) {
	c.verb = p.verb
	switch p.verb {
	case list:
		c.listing, err = p.listing()
	case save:
		c.listing.numeric = p.given&numeric != 0
	case startDaemon, stopDaemon:
		c.Unsupported = "connection sync daemons"
	case restore:
	default:
		c.Edit.Op = ops[p.verb]
		c.Edit.Timeouts = p.timeouts
		c.Edit.Service.Key = p.serviceKey()
		err = p.finishEdit(&c, flags)
	}
	return c, err
}

var ops = map[verb]service.Op{
	addService: service.AddService, editService: service.EditService, deleteService: service.DeleteService,
	addServer: service.AddServer, editServer: service.EditServer, deleteServer: service.DeleteServer,
	flush: service.Clear, zero: service.Zero, setTimeouts: service.SetTimeouts,
}

// serviceKey is the service that -t, -u, --sctp-service or -f names. A mark of
// IPv6 packets has the address ::, one of IPv4 packets has none.
func (p *parser) serviceKey() service.Key {
	k := p.key
	switch {
	case k.Mark != 0 && p.v6:
		k.Address = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	case p.given&serviceAddress != 0 && k.Mark == 0:
		k.Address = netip.AddrPortFrom(p.vip, p.vport)
	}
	return k
}

func (p *parser) finishEdit(c *Command, flags []string) error {
	switch c.Edit.Op {
	case service.AddService, service.EditService:
		return p.finishService(c, flags)
	case service.AddServer, service.EditServer:
		return p.finishServer(c)
	case service.DeleteServer:
		c.Edit.Server.Address = netip.AddrPortFrom(p.rip, p.rport)
	}
	return nil
}

func (p *parser) finishService(c *Command, flags []string) error {
	s := &c.Edit.Service
	if s.Mark == 0 && p.vport == 0 && p.given&persistent == 0 {
		return usage("Zero port specified for non-persistent service")
	}
	s.OnePacket = p.given&onePacket != 0
	if s.OnePacket && s.Mark == 0 && s.Protocol != service.UDP {
		return usage("One-Packet Scheduling is only for UDP virtual services")
	}
	s.Scheduler, s.Flags = p.scheduler, flags
	if p.engine != "" {
		c.Unsupported = "the persistence engine " + p.engine
	}
	if s.Persistent = p.persistent; s.Persistent == 0 {
		return nil // a mask without -p is never looked at
	}
	switch {
	case !p.v6:
		s.Netmask = service.IPv4Mask(binary.BigEndian.Uint32(p.mask.AsSlice()))
	case p.prefix < 128:
		s.Netmask = service.Netmask(p.prefix)
	}
	return nil
}

func (p *parser) finishServer(c *Command) error {
	s := &c.Edit.Server
	if p.key.Mark == 0 && p.method != service.Masq {
		p.rport = p.vport // tunnels and routing leave the port as it is
	}
	if p.rip.Is6() != p.v6 && p.method != service.Tunnel {
		return usage("Different address family is allowed only for tunneling servers")
	}
	if p.given&tunOptions != 0 && p.method != service.Tunnel {
		return usage("Tunnel options conflict with forward method")
	}
	if err := tunnels[p.tunnel].check("tunnel type", tunOptions, p.given); err != nil {
		return err
	}
	if p.tunnel != 0 {
		c.Unsupported = "the tunnel type " + tunnels[p.tunnel].name
	}
	*s = service.Server{
		Address: netip.AddrPortFrom(p.rip, p.rport),
		Method:  p.method,
		Weight:  int(p.numbers[weight]),
		Upper:   uint32(p.numbers[upperThreshold]),
		Lower:   uint32(p.numbers[lowerThreshold]),
	}
	return nil
}

func (p *parser) listing() (l listing, err error) {
	has := func(o options) bool { return p.given&o != 0 }
	if has(connection|timeout|daemon) && has(stats|rate|thresholds) || has(timeout|daemon) && has(persistentConn) {
		return l, usage("options conflicts in the list command")
	}
	l.numeric, l.exact, l.noSort = has(numeric), has(exact), has(noSort)
	switch {
	case has(connection):
		l.table, l.engines = connections, has(persistentConn)
	case has(timeout):
		l.table = timeoutValues
	case has(daemon):
		l.table = daemons
	case has(serviceAddress):
		key := p.serviceKey()
		l.only = &key
	}
	switch {
	case has(stats):
		l.columns = statsColumns
	case has(rate):
		l.columns = rateColumns
	case has(thresholds):
		l.columns = thresholdColumns
	case has(persistentConn):
		l.columns = persistentColumns
	case has(tunInfo):
		l.columns = tunnelColumns
	}
	return l, nil
}
