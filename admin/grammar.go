package admin

import (
	"fmt"
	"math/bits"
)

// verb is a command of ipvsadm.
type verb uint8

const (
	addService verb = iota + 1
	editService
	deleteService
	flush
	list
	addServer
	deleteServer
	editServer
	setTimeouts
	startDaemon
	stopDaemon
	restore
	save
	zero
	help
	version
)

// options is a set of options that ipvsadm checks against the command. The
// order decides which fault is named first.
type options uint64

const (
	numeric options = 1 << iota
	connection
	serviceAddress
	schedulerName
	persistent
	netmask
	realServer
	forwardingMethod
	weight
	upperThreshold
	lowerThreshold
	mcastInterface
	timeout
	daemon
	stats
	rate
	thresholds
	persistentConn
	noSort
	syncID
	exact
	onePacket
	engine
	schedFlags
	mcastGroup
	mcastPort
	mcastTTL
	syncMaxlen
	tunInfo
	tunType
	tunPort
	tunNocsum
	tunCsum
	tunRemcsum

	tunOptions = tunType | tunPort | tunNocsum | tunCsum | tunRemcsum
)

// optionNames are the names by which messages call the options, in the order
// of their bits.
var optionNames = [...]string{
	"numeric", "connection", "service-address", "scheduler", "persistent", "netmask", "real-server",
	"forwarding-method", "weight", "u-threshold", "l-threshold", "mcast-interface", "timeout", "daemon",
	"stats", "rate", "thresholds", "persistent-conn", "nosort", "syncid", "exact", "ops", "pe",
	"sched-flags", "mcast-group", "mcast-port", "mcast-ttl", "sync-maxlen", "tun-info", "tun-type",
	"tun-port", "tun-nocsum", "tun-csum", "tun-remcsum",
}

func (o options) name() string { return optionNames[bits.TrailingZeros64(uint64(o))] }

// legal says which options a command, or a tunnel type, goes with: it needs
// some, may have some, and takes at most one of some.
type legal struct {
	name           string
	need, may, one options
}

var commands = [...]legal{
	addService:    {name: "add-service", need: serviceAddress, may: serviceOptions},
	editService:   {name: "edit-service", need: serviceAddress, may: serviceOptions},
	deleteService: {name: "delete-service", need: serviceAddress},
	flush:         {name: "flush"},
	list: {
		name: "list",
		may:  numeric | stats | rate | thresholds | persistentConn | noSort | syncID | exact | tunInfo,
		one:  connection | serviceAddress | timeout | daemon,
	},
	addServer:    {name: "add-server", need: serviceAddress | realServer, may: serverOptions},
	deleteServer: {name: "delete-server", need: serviceAddress | realServer},
	editServer:   {name: "edit-server", need: serviceAddress | realServer, may: serverOptions},
	setTimeouts:  {name: "set"},
	startDaemon: {
		name: "start-daemon",
		may:  mcastInterface | syncID | mcastGroup | mcastPort | mcastTTL | syncMaxlen,
	},
	stopDaemon: {name: "stop-daemon", may: syncID},
	restore:    {name: "restore"},
	save:       {name: "save", may: numeric},
	zero:       {name: "zero", may: serviceAddress},
}

const (
	serviceOptions = schedulerName | persistent | netmask | onePacket | engine | schedFlags
	serverOptions  = forwardingMethod | weight | upperThreshold | lowerThreshold | tunOptions
)

// tunnels are the tunnel types of --tun-type.
var tunnels = [...]legal{
	{name: "ipip", may: tunType},
	{name: "gue", need: tunPort, may: tunType, one: tunNocsum | tunCsum | tunRemcsum},
	{name: "gre", may: tunType, one: tunNocsum | tunCsum},
}

// check reports the first of the given options, in the order of their bits,
// that does not go with l. What l is called in messages is kind.
func (l *legal) check(kind string, all, given options) error {
	var taken options
	for o := options(1); o <= all; o <<= 1 {
		switch {
		case o&all == 0:
		case o&given == 0 && o&l.need != 0:
			return usage("You need to supply the '%s' option for the '%s' %s", o.name(), l.name, kind)
		case o&given == 0:
		case o&(l.need|l.may|l.one) == 0:
			return usage("Illegal '%s' option with the '%s' %s", o.name(), l.name, kind)
		case o&l.one != 0 && taken != 0:
			return usage("The option '%s' conflicts with the '%s' option in the '%s' %s",
				o.name(), taken.name(), l.name, kind)
		case o&l.one != 0:
			taken = o
		}
	}
	return nil
}

// usage is the error of an argument that ipvsadm finds wrong.
func usage(format string, args ...any) error {
	return &UsageError{Code: 2, Text: fmt.Sprintf(format, args...)}
}

// tryHelp is the error of a line that names no command.
func tryHelp() error {
	return &UsageError{Code: 255, Text: "Try `ipvsadm -h' or 'ipvsadm --help' for more information."}
}
