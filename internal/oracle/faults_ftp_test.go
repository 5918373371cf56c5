package oracle

import (
	"bytes"

	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/packet"
)

// misread has lvx read another word of the same length on control connections
// of FTP; what leaves is put right.
func misread(name, word, instead string) *fault {
	swap := func(f record.Frame, from, to string) record.Frame {
		at, proto := transport(f)
		if proto != protoTCP || !bytes.Contains(f[at:], []byte(from)) {
			return f
		}
		f = bytes.ReplaceAll(f, []byte(from), []byte(to))
		var p packet.Packet
		if packet.Parse(f, &p) == packet.OK {
			p.FillChecksum()
		}
		return f
	}
	return &fault{
		name:     name,
		onArrive: func(_ *twin, _ record.NIC, f record.Frame) record.Frame { return swap(f, word, instead) },
		onLeave:  func(_ record.NIC, f record.Frame) record.Frame { return swap(f, instead, word) },
	}
}

func markFaults() []*fault {
	return []*fault{
		instead("a range of ports is marked but for its last", "tcp 80-81 ", "tcp 80 "),
		instead("marks of one protocol are for all", " tcp 80-81 ", " any 80-81 "),
		instead("rules of another NIC count", " on prv0 ", " "),
	}
}

func ftpFaults() []*fault {
	return []*fault{
		misread("EPSV is not understood", "EPSV", "XPSV"),
		misread("PORT is not understood", "PORT", "XORT"),
		misread("answers to PASV are not replaced", "227 ", "228 "),
		{name: "data connections are awaited for another time", onTimeouts: func(t *conntrack.Timeouts) { t[conntrack.Listen] = 60 * conntrack.Second }},
		{name: "data connections that are awaited are not listed", onConns: func(all []conn) []conn {
			var kept []conn
			for _, c := range all {
				if c.state != conntrack.Listen.String() {
					kept = append(kept, c)
				}
			}
			return kept
		}},
	}
}
