package dataplane

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/conntrack"
)

// stateTable is one of IPVS's, in conntrack/testdata: a row an event, a column
// a current state.
type stateTable struct {
	file, proto string
	secure      bool
	cells       int
	states      map[string]conntrack.State
	events      map[string]string // as scripts write them
}

var tcpStates = map[string]conntrack.State{
	"NO": conntrack.NoState, "ES": conntrack.Established, "SS": conntrack.SynSent, "SR": conntrack.SynRecv,
	"FW": conntrack.FinWait, "TW": conntrack.TimeWait, "CL": conntrack.Close, "CW": conntrack.CloseWait,
	"LA": conntrack.LastAck, "LI": conntrack.Listen, "SA": conntrack.SynAck,
}

var sctpStates = map[string]conntrack.State{
	"NO": conntrack.NoState, "I1": conntrack.SCTPInit1, "IN": conntrack.SCTPInit, "CS": conntrack.SCTPCookieSent,
	"CR": conntrack.SCTPCookieReplied, "CW": conntrack.SCTPCookieWait, "CO": conntrack.SCTPCookie, "CE": conntrack.SCTPCookieEchoed,
	"ES": conntrack.SCTPEstablished, "SS": conntrack.SCTPShutdownSent, "SR": conntrack.SCTPShutdownReceived,
	"SA": conntrack.SCTPShutdownAckSent, "RJ": conntrack.SCTPRejected, "CL": conntrack.SCTPClosed,
}

var (
	tcpEvents  = map[string]string{"syn:": "tcp S", "fin:": "tcp F", "ack:": "tcp A", "rst:": "tcp R"}
	sctpEvents = map[string]string{
		"d": "sctp DATA", "i": "sctp INIT", "ia": "sctp INIT-ACK", "ce": "sctp COOKIE-ECHO", "ca": "sctp COOKIE-ACK",
		"s": "sctp SHUTDOWN", "sa": "sctp SHUTDOWN-ACK", "sc": "sctp SHUTDOWN-COMPLETE", "err": "sctp ERROR", "ab": "sctp ABORT",
	}
)

var stateTables = map[string]stateTable{
	"normal":       {"normal", "tcp", false, 2 * 4 * 11, tcpStates, tcpEvents},
	"secure_tcp":   {"secure", "tcp", true, 2 * 4 * 11, tcpStates, tcpEvents},
	"SCTP":         {"sctp", "sctp", false, 2 * 10 * 14, sctpStates, sctpEvents},
	"SCTP, secure": {"sctp", "sctp", true, 2 * 10 * 14, sctpStates, sctpEvents},
}

func TestEveryCellOfTheStateTablesIsDrivenByAPacket(t *testing.T) {
	for name, table := range stateTables {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("../conntrack/testdata/" + table.file + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			s := table.script(t)
			cells := 0
			dir := conntrack.ToServer
			lines := strings.Split(strings.TrimSpace(string(text)), "\n")
			columns := strings.Fields(lines[0])
			for _, line := range lines[1:] {
				fields := strings.Fields(line)
				if len(fields) == 1 {
					dir = map[string]conntrack.Direction{"ToServer": conntrack.ToServer, "ToClient": conntrack.ToClient}[fields[0]]
					continue
				}
				for n, to := range fields[1:] {
					table.drive(s, dir, table.events[fields[0]], table.states[columns[n]], table.states[to])
					cells++
				}
			}
			if cells != table.cells {
				t.Errorf("%d cells, want %d", cells, table.cells)
			}
			for _, from := range table.states {
				for _, dir := range []conntrack.Direction{conntrack.ToServer, conntrack.ToClient} {
					// A segment without flags closes, a packet without chunks moves nothing.
					to := map[string]conntrack.State{"tcp": conntrack.Close, "sctp": from}[table.proto]
					table.drive(s, dir, table.proto+" 0", from, to)
				}
			}
		})
	}
}

// script has a service without servers' turns: every connection goes to one.
func (x *stateTable) script(t *testing.T) *script {
	s := &script{t: t, names: map[string]int{}, top: topologies["twonic"], sizes: sizes{conns: 100, frames: 256, ring: 256}}
	option := map[string]string{"tcp": "-t", "sctp": "--sctp-service"}[x.proto]
	s.do("$ -A %s 192.0.2.1:80 -s rr", option)
	s.do("$ -a %s 192.0.2.1:80 -r 10.0.0.11:8080 -m", option)
	s.do("$ sysctl conn_reuse_mode=0") // else the old connection ends
	if x.secure {
		s.do("$ sysctl secure_tcp=3")
	}
	return s
}

func (s *script) do(format string, args ...any) {
	s.text = fmt.Sprintf(format, args...)
	s.step(strings.Fields(s.text))
}

// drive brings one packet to a connection in state from: it is forwarded, and
// state, deadline and count are those of state to.
func (x *stateTable) drive(s *script, dir conntrack.Direction, event string, from, to conntrack.State) {
	s.t.Helper()
	const client, virtual, real = "198.51.100.7:1", "192.0.2.1:80", "10.0.0.11:8080"
	first := map[string]string{"tcp": "tcp S", "sctp": "sctp INIT"}[x.proto]
	s.do("public in %s -> %s %s", client, virtual, first)
	s.do("private out %s -> %s %s", client, real, first)
	rec := s.found([]string{x.proto, client, virtual})[0]
	srv := s.serverOf(virtual, real)
	if rec.State.Active() != from.Active() {
		srv.counts.Change(from.Active())
	}
	rec.State = from
	s.now += Second
	if dir == conntrack.ToServer {
		s.do("public in %s -> %s %s", client, virtual, event)
		s.do("private out %s -> %s %s", client, real, event)
	} else {
		s.do("private in %s -> %s %s", real, client, event)
		s.do("public out %s -> %s %s", virtual, client, event)
	}
	at := s.worker.table.Find(s.worker.table.Hash(rec.Proto(), rec.Client()), rec.Proto(), rec.Client(), endpointOf(virtual), conntrack.ToServer)
	if at == conntrack.None || s.worker.table.At(at) != rec {
		s.failf("in %v: the connection is another one", from)
	}
	left, want := rec.Expires(s.now.tick()), conntrack.DefaultTimeouts()[to]
	active, inactive := srv.Counts()
	if rec.State != to || left != want || (active == 1) != to.Active() || active+inactive != 1 {
		s.failf("in %v: %v for %d ticks, %d active and %d inactive; want %v for %d ticks", from, rec.State, left, active, inactive, to, want)
	}
	s.worker.end(at)
}
