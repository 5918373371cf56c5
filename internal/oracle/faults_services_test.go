package oracle

import (
	"hash/crc32"
	"strings"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/service"
)

// onSCTP changes whole SCTP packets that leave.
func onSCTP(change func(f record.Frame, at int)) func(record.NIC, record.Frame) record.Frame {
	return func(_ record.NIC, f record.Frame) record.Frame {
		at, proto := transport(f)
		if proto != protoSCTP || len(f) < at+12 || f[12] == 0x08 && (f[20]&0x3f|f[21]) != 0 {
			return f
		}
		f = append(record.Frame(nil), f...)
		change(f, at)
		return f
	}
}

func reseal(f record.Frame, at int) {
	clear(f[at+8 : at+12])
	crc := crc32.Checksum(f[at:], crc32.MakeTable(crc32.Castagnoli))
	f[at+8], f[at+9], f[at+10], f[at+11] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
}

// unseen has lvx take a chunk for another one; what leaves is put right.
func unseen(name string, chunk, instead byte) *fault {
	hidden := false
	return &fault{
		name: name,
		onArrive: func(_ *twin, _ record.NIC, f record.Frame) record.Frame {
			at, proto := transport(f)
			hidden = proto == protoSCTP && len(f) > at+16 && f[at+12] == chunk
			if hidden {
				f = append(record.Frame(nil), f...)
				f[at+12] = instead
				reseal(f, at)
			}
			return f
		},
		onLeave: onSCTP(func(f record.Frame, at int) {
			if hidden && len(f) > at+12 {
				f[at+12] = chunk
				reseal(f, at)
			}
		}),
	}
}

func sctpFaults() []*fault {
	timeout := func(s conntrack.State, ticks conntrack.Tick) *fault {
		return &fault{name: "SCTP's " + s.String() + " lasts another time", onTimeouts: func(t *conntrack.Timeouts) { t[s] = ticks }}
	}
	return []*fault{
		{name: "the CRC of SCTP is left as it was", onLeave: onSCTP(func(f record.Frame, at int) { f[at+8] ^= 0x55 })},
		unseen("INIT-ACK is taken for a SACK", 2, 3),
		unseen("SHUTDOWN is taken for data", 7, 0),
		unseen("ABORT is taken for data", 6, 0),
		timeout(conntrack.SCTPInit1, 50*conntrack.Second),
		timeout(conntrack.SCTPEstablished, 800*conntrack.Second),
	}
}

// without takes an option with its value off commands.
func without(name, option string, values int) *fault {
	return &fault{name: name, onCommand: func(args []string) []string {
		var kept []string
		for i := 0; i < len(args); i++ {
			if args[i] == option {
				i += values
				continue
			}
			kept = append(kept, args[i])
		}
		return kept
	}}
}

func serviceFaults() []*fault {
	return []*fault{
		without("persistence has no netmask", "-M", 1),
		instead("netmasks have no gaps", "-M 255.0.255.1 ", "-M 255.255.255.1 "),
		instead("a netmask without bits has all", "-M 0.0.0.0 ", "-M 255.255.255.255 "),
		instead("templates live for another time", "-p 60 ", "-p 70 ", "-p 40 ", "-p 41 ", "-p 90 ", "-p 88 "),
		{name: "an edited service is persistent no more", onCommand: func(args []string) []string {
			line := strings.Join(args, " ") + " "
			if args[0] == "-E" && strings.Contains(line, " -p ") && !strings.Contains(line, ":0 ") {
				return strings.Fields(line[:strings.Index(line, " -p ")])
			}
			return args
		}},
		{name: "templates are not listed", onConns: func(all []conn) []conn {
			for i := 0; i < len(all); i++ {
				if all[i].isTemplate() {
					all = append(all[:i], all[i+1:]...)
					i--
				}
			}
			return all
		}},
		without("upper thresholds mean nothing", "-x", 1),
		without("lower thresholds mean nothing", "-y", 1),
		instead("upper thresholds are one too high", "-x 1 ", "-x 2 ", "-x 2 ", "-x 3 ", "-x 4 ", "-x 5 "),
		without("one-packet scheduling opens connections", "-o", 0),
		instead("sh takes no notice of ports", "-b sh-port ", "", "-b sh-fallback,sh-port ", "-b sh-fallback "),
		instead("sh does not fall back", "-b sh-fallback ", ""),
		instead("sed is lc", "-s sed ", "-s lc "),
		instead("nq is sed", "-s nq ", "-s sed "),
		instead("ovf is fo", "-s ovf ", "-s fo "),
		instead("dh is sh", "-s dh ", "-s sh "),
		instead("lblc is lc", "-s lblc ", "-s lc "),
	}
}

// deviationFaults switch on what lvx does in another way.
func deviationFaults() []*fault {
	var all []*fault
	for _, d := range service.AllDeviations() {
		if d.Switch != 0 {
			all = append(all, &fault{name: d.Name + " is on", deviates: d.Switch})
		}
	}
	return all
}

func sysctlFaults() []*fault {
	var all []*fault
	for _, name := range []string{"conn_reuse_mode", "expire_nodest_conn", "expire_quiescent_template", "sloppy_tcp", "sloppy_sctp",
		"nat_icmp_send", "schedule_icmp", "secure_tcp", "drop_packet"} {
		all = append(all, &fault{name: name + " changes nothing", onCommand: func(args []string) []string {
			if len(args) > 1 && strings.Contains(args[1], "."+name+"=") {
				return []string{"-qw"}
			}
			return args
		}})
	}
	return all
}
