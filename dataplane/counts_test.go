package dataplane

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/conntrack"
)

// bazaar is a small world of services of all kinds that share their servers,
// and few clients, so that everything meets everything.
var bazaar = []struct{ add, server string }{
	{"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.0.%d:80 -m"},
	{"-A -t 192.0.2.2:80 -s wlc", "-a -t 192.0.2.2:80 -r 10.0.0.%d:80 -m -x 5 -y 2"},
	{"-A -t 192.0.2.3:80 -s wrr -p 20", "-a -t 192.0.2.3:80 -r 10.0.0.%d:80 -m"},
	{"-A -t 192.0.2.4:0 -s rr -p 5 -M 255.255.255.254", "-a -t 192.0.2.4:0 -r 10.0.0.%d:0 -m"},
	{"-A -u 192.0.2.1:80 -s rr -o", "-a -u 192.0.2.1:80 -r 10.0.0.%d:80 -m"},
	{"-A -u 192.0.2.2:80 -s rr", "-a -u 192.0.2.2:80 -r 10.0.0.%d:80 -m"},
	{"-A -u 192.0.2.3:80 -s rr -o -p 10", "-a -u 192.0.2.3:80 -r 10.0.0.%d:80 -m"},
	{"-A --sctp-service 192.0.2.1:80 -s rr", "-a --sctp-service 192.0.2.1:80 -r 10.0.0.%d:80 -m"},
	{"-A --sctp-service 192.0.2.2:80 -s mh", "-a --sctp-service 192.0.2.2:80 -r 10.0.0.%d:80 -m"},
	{"-A -t [2001:db8::1]:80 -s sh", "-a -t [2001:db8::1]:80 -r [fd00::%d]:80 -m"},
	{"-A -t [2001:db8::2]:80 -s rr -p 30", "-a -t [2001:db8::2]:80 -r [fd00::%d]:80 -m"},
}

// anyCommand returns a command for the bazaar; it may be refused.
func anyCommand(r *rand.Rand) string {
	x := bazaar[r.IntN(len(bazaar))]
	server := fmt.Sprintf(x.server, 11+r.IntN(3))
	words := strings.Fields(server)
	where, real := strings.Join(words[1:3], " "), words[4]
	switch r.IntN(12) {
	case 0, 1, 2:
		return server
	case 3, 4:
		return fmt.Sprintf("-d %s -r %s", where, real)
	case 5, 6:
		return fmt.Sprintf("-e %s -r %s -m -w %d -x %d", where, real, r.IntN(3), r.IntN(8))
	case 7:
		return "-D " + where
	case 8:
		return "-E " + strings.TrimPrefix(x.add, "-A ")
	default:
		return x.add
	}
}

// anyFrame returns a line of a packet for the bazaar, of a client or a server.
func anyFrame(r *rand.Rand) string {
	kind := []string{
		"tcp " + []string{"S", "S", "A", "FA", "R", "SA"}[r.IntN(6)], "udp 18",
		"sctp " + []string{"INIT", "INIT", "INIT-ACK", "COOKIE-ECHO", "DATA", "ABORT", "SHUTDOWN"}[r.IntN(7)],
	}[r.IntN(3)]
	client, virtual, real := fmt.Sprintf("198.51.100.%d:%d", 1+r.IntN(4), 1+r.IntN(3)), fmt.Sprintf("192.0.2.%d:80", 1+r.IntN(4)), fmt.Sprintf("10.0.0.%d:80", 11+r.IntN(3))
	if r.IntN(4) == 0 {
		client, virtual, real = fmt.Sprintf("[2001:db8:7::%d]:%d", 1+r.IntN(4), 1+r.IntN(3)), fmt.Sprintf("[2001:db8::%d]:80", 1+r.IntN(2)), fmt.Sprintf("[fd00::%d]:80", 11+r.IntN(3))
	}
	if r.IntN(3) == 0 {
		return fmt.Sprintf("private %s -> %s %s", real, client, kind)
	}
	return fmt.Sprintf("public %s -> %s %s", client, virtual, kind)
}

// Whatever is commanded and whatever comes: what servers count (ActiveConn,
// InActConn, PersistConn, awaited answers) is what a recount finds.
func TestCountsAreThoseOfARecount(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		for _, sysctls := range []string{"conn_reuse_mode=1", "expire_nodest_conn=1 expire_quiescent_template=1", "drop_entry=3 secure_tcp=3 sloppy_tcp=1"} {
			t.Run(fmt.Sprint(n, " ", sysctls), func(t *testing.T) {
				s := crowd(t, sizes{conns: 40 * n, frames: 256 * n, ring: 256, workers: n, templates: 12})
				s.t = t
				for _, queues := range s.queues {
					for _, m := range queues {
						m.Discard(true)
					}
				}
				if err := s.sysctl(strings.Fields(sysctls)); err != nil {
					t.Fatal(err)
				}
				playBazaar(t, s, rand.New(rand.NewPCG(uint64(n), uint64(len(sysctls)))))
			})
		}
	}
}

func playBazaar(t *testing.T, s *script, random *rand.Rand) {
	t.Helper()
	_ = s.command(strings.Fields("-C"))
	for _, x := range bazaar {
		for _, line := range []string{x.add, fmt.Sprintf(x.server, 11), fmt.Sprintf(x.server, 12)} {
			if err := s.command(strings.Fields(line)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for step := range 6000 {
		nic, frame := s.bytesOf(anyFrame(random))
		s.arrive(nic, frame)
		if random.IntN(3) == 0 {
			s.now += Time(random.Int64N(int64(3 * Second)))
			s.world.run(t)
		}
		if random.IntN(30) == 0 {
			_ = s.command(strings.Fields(anyCommand(random))) // some are refused
		}
		if random.IntN(40) == 0 {
			s.roster.Collect()
		}
		if step%200 == 0 {
			s.world.run(t)
			recount(t, s)
			if t.Failed() {
				t.Fatalf("at step %d", step)
			}
		}
	}
	if sum := s.totals(); sum["new-conns"] < 500 || sum["expired-conns"] < 50 {
		t.Errorf("too little happened: %v", sum)
	}
	for range 400 {
		s.now += 10 * Second
		s.world.run(t)
	}
	recount(t, s)
	for _, srv := range s.roster.Servers() {
		if !srv.Idle() || srv.Templates() != 0 {
			t.Errorf("%v still counts when all is over", srv.Address.Address)
		}
	}
}

// recount compares what servers and templates count with what is there.
func recount(t *testing.T, s *script) {
	t.Helper()
	recountTemplates(t, s)
	kept, awaited := make([]int32, s.roster.Slots()), make([]int32, s.roster.Slots())
	for _, w := range s.workers {
		w.table.Walk(0, 1<<30, func(_ conntrack.Index, r *conntrack.Record) {
			if r.State == conntrack.OnePacket {
				awaited[r.Server]++
			}
		})
	}
	templates := s.roster.Templates()
	for n := uint32(1); int(n) <= templates.used; n++ {
		if x := templates.at(n); x.proto != 0 {
			kept[x.slot]++
		}
	}
	for _, srv := range s.roster.Servers() {
		if srv.kept.Load() != kept[srv.Slot] || srv.awaited.Load() != awaited[srv.Slot] {
			t.Errorf("%v keeps %d clients and awaits %d answers, there are %d and %d", srv.Address.Address, srv.kept.Load(), srv.awaited.Load(), kept[srv.Slot], awaited[srv.Slot])
		}
	}
}
