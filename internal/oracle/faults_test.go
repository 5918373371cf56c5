package oracle

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/packet"
)

// faults are what the comparison must find. Each function returns a fresh one.
func faults() []*fault {
	return slices.Concat(frameFaults(), stateFaults(), sctpFaults(), commandFaults(), serviceFaults(), sysctlFaults(), markFaults(), ftpFaults(), deviationFaults())
}

// at returns where the IPv4 or IPv6 header of f ends and its protocol; without
// IPv6 extension headers.
func transport(f record.Frame) (at int, proto uint8) {
	switch {
	case len(f) > 34 && f[12] == 0x08:
		return 14 + int(f[14]&15)*4, f[23]
	case len(f) > 54 && f[12] == 0x86:
		return 54, f[20]
	}
	return 0, 0
}

// put writes a 16-bit word at byte at and amends the checksum at byte sum.
func put(f record.Frame, at, sum int, word uint16) {
	old := binary.BigEndian.Uint16(f[at:])
	binary.BigEndian.PutUint16(f[at:], word)
	c := uint32(^binary.BigEndian.Uint16(f[sum:])) + uint32(^old) + uint32(word)
	for c > 0xffff {
		c = c>>16 + c&0xffff
	}
	binary.BigEndian.PutUint16(f[sum:], ^uint16(c))
}

// onIPv4 changes IPv4 frames that leave.
func onIPv4(change func(n record.NIC, f record.Frame) record.Frame) func(record.NIC, record.Frame) record.Frame {
	return func(n record.NIC, f record.Frame) record.Frame {
		if len(f) < 34 || f[12] != 0x08 {
			return f
		}
		return change(n, slices.Clone(f))
	}
}

// onTCP changes TCP segments that leave, whole ones.
func onTCP(change func(n record.NIC, f record.Frame, at int) record.Frame) func(record.NIC, record.Frame) record.Frame {
	return func(n record.NIC, f record.Frame) record.Frame {
		at, proto := transport(f)
		if proto != protoTCP || len(f) < at+20 || f[12] == 0x08 && (f[20]&0x1f|f[21]) != 0 {
			return f
		}
		return change(n, slices.Clone(f), at)
	}
}

func frameFaults() []*fault {
	return []*fault{
		{name: "TTL is not decremented", onLeave: onIPv4(func(_ record.NIC, f record.Frame) record.Frame {
			put(f, 22, 24, binary.BigEndian.Uint16(f[22:])+0x100)
			return f
		})},
		{name: "TTL is decremented without the checksum", onLeave: onIPv4(func(_ record.NIC, f record.Frame) record.Frame {
			f[24]++
			return f
		})},
		{name: "DF is cleared", onLeave: onIPv4(func(_ record.NIC, f record.Frame) record.Frame {
			put(f, 20, 24, binary.BigEndian.Uint16(f[20:])&^0x4000)
			return f
		})},
		{name: "ECN bits are cleared", onLeave: onIPv4(func(_ record.NIC, f record.Frame) record.Frame {
			put(f, 14, 24, binary.BigEndian.Uint16(f[14:])&^3)
			return f
		})},
		{name: "TCP checksums are made right", onLeave: onTCP(func(_ record.NIC, f record.Frame, at int) record.Frame {
			var p packet.Packet
			if packet.Parse(f, &p) == packet.OK {
				p.FillChecksum()
			}
			return f
		})},
		{name: "answers keep the server's port", onLeave: onTCP(func(n record.NIC, f record.Frame, at int) record.Frame {
			if n == record.Public && binary.BigEndian.Uint16(f[at:]) == 80 {
				put(f, at, at+16, 8080)
			}
			return f
		})},
		{name: "resets are not sent", onLeave: onTCP(func(_ record.NIC, f record.Frame, at int) record.Frame {
			if f[at+13]&4 != 0 && len(f) == at+20 {
				return nil
			}
			return f
		})},
		{name: "the record route option is left alone", onLeave: onIPv4(func(_ record.NIC, f record.Frame) record.Frame {
			if f[14]&15 > 5 && f[34] == 7 && f[36] > 4 {
				f[36], f[37], f[38], f[39], f[40] = 4, 0, 0, 0, 0
			}
			return f
		})},
		{name: "ICMP errors keep the quoted server", onLeave: onIPv4(func(n record.NIC, f record.Frame) record.Frame {
			if at, proto := transport(f); n == record.Public && proto == protoICMP && len(f) > at+28 && f[at] == 3 {
				copy(f[at+8+16:], []byte{10, 1, 0, 11})
			}
			return f
		})},
		{name: "frames go to another neighbour", onLeave: func(n record.NIC, f record.Frame) record.Frame {
			f = slices.Clone(f)
			if n == record.Private {
				f[5] ^= 1
			}
			return f
		}},
	}
}

// blind has lvx not see some TCP flags: they are taken off before and put
// back behind it.
func blind(hides func(x *twin, f record.Frame, at int) uint8) *fault {
	var hidden uint8
	return &fault{
		onArrive: func(x *twin, _ record.NIC, f record.Frame) record.Frame {
			at, proto := transport(f)
			if hidden = 0; proto != protoTCP || len(f) < at+20 {
				return f
			}
			if hidden = hides(x, f, at) & f[at+13]; hidden != 0 {
				f = slices.Clone(f)
				put(f, at+12, at+16, binary.BigEndian.Uint16(f[at+12:])&^uint16(hidden))
			}
			return f
		},
		onLeave: onTCP(func(_ record.NIC, f record.Frame, at int) record.Frame {
			put(f, at+12, at+16, binary.BigEndian.Uint16(f[at+12:])|uint16(hidden))
			return f
		}),
	}
}

func named(name string, f *fault) *fault {
	f.name = name
	return f
}

func stateFaults() []*fault {
	timeout := func(s conntrack.State, ticks conntrack.Tick) *fault {
		return &fault{name: s.String() + " lasts another time", onTimeouts: func(t *conntrack.Timeouts) { t[s] = ticks }}
	}
	return []*fault{
		named("FIN is ignored", blind(func(*twin, record.Frame, int) uint8 { return packet.FIN })),
		named("RST is ignored", blind(func(x *twin, f record.Frame, _ int) uint8 {
			if state, _ := x.state(f); state != "" {
				return packet.RST
			}
			return 0
		})),
		named("a SYN does not end TIME_WAIT", blind(func(x *twin, f record.Frame, _ int) uint8 {
			if state, dir := x.state(f); state == "TIME_WAIT" && dir == conntrack.ToServer {
				return packet.SYN
			}
			return 0
		})),
		timeout(conntrack.SynRecv, 50*conntrack.Second),
		timeout(conntrack.Close, 60*conntrack.Second),
		timeout(conntrack.UDP, 180*conntrack.Second),
		{name: "inactive connections are not taken off the count", onServers: func(x *twin, all []server) []server {
			for i := range all {
				if x.worker.Counters.Expired > x.expired && all[i].inactive == 0 {
					all[i].inactive++
				}
			}
			return all
		}},
		{name: "closed connections count as active", onConns: nil, onServers: func(x *twin, all []server) []server {
			for i := range all {
				all[i].active, all[i].inactive = all[i].active+all[i].inactive, 0
			}
			return all
		}},
		{name: "connections name the wrong client port", onConns: func(all []conn) []conn {
			for i := range all {
				all[i].client = netip.AddrPortFrom(all[i].client.Addr(), all[i].client.Port()^1)
			}
			return all
		}},
		{name: "fragments after the first are lost", onArrive: func(_ *twin, _ record.NIC, f record.Frame) record.Frame {
			if len(f) > 34 && f[12] == 0x08 && (f[20]&0x1f|f[21]) != 0 {
				f = slices.Clone(f)
				f[24] ^= 1
			}
			return f
		}},
	}
}

// instead replaces words of commands.
func instead(name string, pairs ...string) *fault {
	to := strings.NewReplacer(pairs...)
	return &fault{name: name, onCommand: func(args []string) []string {
		return strings.Fields(to.Replace(strings.Join(args, " ") + " "))
	}}
}

func commandFaults() []*fault {
	return []*fault{
		instead("wrr takes no notice of weights", "-s wrr ", "-s rr "),
		instead("wlc takes no notice of counts", "-s wlc ", "-s rr "),
		instead("mh takes no notice of ports", "-b mh-port ", ""),
		instead("rr starts with mh's choice", "-s rr ", "-s mh "),
		instead("weight 0 is weight 1", "-w 0 ", "-w 1 "),
		instead("weights change to their double", "-w 1 ", "-w 2 "),
		{name: "a deleted server stays", onCommand: func(args []string) []string {
			if args[0] == "-d" {
				return []string{"--set", "0", "0", "0"}
			}
			return args
		}},
		{name: "a changed scheduler is not adopted", onCommand: func(args []string) []string {
			if args[0] == "-E" {
				return []string{"--set", "0", "0", "0"}
			}
			return args
		}},
	}
}
