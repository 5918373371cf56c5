package dataplane

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/conntrack"
)

// fair is a bazaar of services whose connections need more than their record:
// control connections of FTP, virtual addresses of their own, other client
// ports, templates, probes.
var fair = []struct{ add, server string }{
	{"-A -t 192.0.2.1:21 -s rr", "-a -t 192.0.2.1:21 -r 10.0.0.%d:21 -m"},
	{"-A -t 192.0.2.2:21 -s wlc", "-a -t 192.0.2.2:21 -r 10.0.0.%d:21 -m"},
	{"-A -t 192.0.2.3:21 -s rr -p 20", "-a -t 192.0.2.3:21 -r 10.0.0.%d:21 -m"},
	{"-A -f 5 -s rr", "-a -f 5 -r 10.0.0.%d:21 -m"},
	{"-A -f 6 -s rr -p 10", "-a -f 6 -r 10.0.0.%d:0 -m"},
	{"-A -t 192.0.2.4:0 -s rr -p 5", "-a -t 192.0.2.4:0 -r 10.0.0.%d:0 -m"},
	{"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.0.%d:53 -m"},
	{"-A -u 192.0.2.2:53 -s rr -o", "-a -u 192.0.2.2:53 -r 10.0.0.%d:53 -m"},
}

// fairCommand returns a command for the fair; it may be refused.
func fairCommand(r *rand.Rand) string {
	x := fair[r.IntN(len(fair))]
	words := strings.Fields(fmt.Sprintf(x.server, 11+r.IntN(2)))
	where, real := strings.Join(words[1:3], " "), words[4]
	switch r.IntN(10) {
	case 0, 1, 2:
		return strings.Join(words, " ")
	case 3:
		return fmt.Sprintf("-d %s -r %s", where, real)
	case 4, 5:
		return fmt.Sprintf("-e %s -r %s -m -w %d", where, real, r.IntN(3))
	case 6:
		return "-D " + where
	case 7:
		return fmt.Sprintf("mark %s to 192.0.2.%d", []string{"add 5", "del 5", "add 6"}[r.IntN(3)], 33+r.IntN(2))
	case 8:
		return "sysctl " + []string{"expire_nodest_conn=1", "expire_nodest_conn=0", "snat_reroute=0", "snat_reroute=1", "nat_icmp_send=1", "secure_tcp=3", "secure_tcp=0"}[r.IntN(7)]
	}
	return x.add
}

// fairFrame returns a line of a packet for the fair.
func fairFrame(r *rand.Rand) string {
	client := fmt.Sprintf("198.51.100.%d", 1+r.IntN(3))
	virtual := fmt.Sprintf("192.0.2.%d", []int{1, 2, 3, 4, 33, 34}[r.IntN(6)])
	real := fmt.Sprintf("10.0.0.%d", 11+r.IntN(2))
	port, data := 1000+r.IntN(3), 50000+r.IntN(4)
	numbers := fmt.Sprintf("seq=%d ack=%d", 100+r.IntN(60), 100+r.IntN(60))
	comma := func(a string) string { return strings.ReplaceAll(a, ".", ",") }
	flags := []string{"S", "S", "S", "A", "A", "FA", "R", "SA"}[r.IntN(8)]
	asks := []string{"PASV", "EPSV", fmt.Sprintf("PORT_%s,195,%d", comma(client), 80+r.IntN(4))}[r.IntN(3)]
	tells := []string{fmt.Sprintf("227_(%s,195,%d)", comma(real), 80+r.IntN(4)), fmt.Sprintf("229_(|||%d|)", data)}[r.IntN(2)]
	switch r.IntN(12) {
	case 0, 1:
		return fmt.Sprintf("public %s:%d -> %s:21 tcp S %s", client, port, virtual, numbers)
	case 2, 3:
		return fmt.Sprintf("public %s:%d -> %s:21 tcp %s %s", client, port, virtual, flags, numbers)
	case 4, 5:
		return fmt.Sprintf(`public %s:%d -> %s:21 tcp PA %s text=%s\r\n`, client, port, virtual, numbers, asks)
	case 6, 7:
		return fmt.Sprintf(`private %s:21 -> %s:%d tcp PA %s text=%s\r\n`, real, client, port, numbers, tells)
	case 8:
		return fmt.Sprintf("private %s:21 -> %s:%d tcp %s %s", real, client, port, flags, numbers)
	case 9:
		return fmt.Sprintf("public %s:%d -> %s:%d tcp %s %s", client, 2000+r.IntN(9), virtual, data, flags, numbers)
	case 10:
		return fmt.Sprintf("private %s:20 -> %s:%d tcp %s %s", real, client, data, flags, numbers)
	}
	return fmt.Sprintf("public %s:%d -> %s:53 udp 9", client, port, virtual)
}

// What is kept beside the records, in places that are used again and again and
// by several workers, agrees with them at any time, and nothing is left at the
// end.
func TestWhatIsKeptBesideTheRecordsIsThatOfARecount(t *testing.T) {
	for _, n := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			playFair(t, openFair(t, n), rand.New(rand.NewPCG(uint64(n), 1)))
		})
	}
}

func openFair(t *testing.T, workers int) *script {
	t.Helper()
	s := crowd(t, sizes{conns: 30 * workers, frames: 256 * workers, ring: 256, workers: workers, templates: 12})
	s.t = t
	for _, queues := range s.queues {
		for _, m := range queues {
			m.Discard(true)
		}
	}
	s.rules([]string{"-C", "--set 30 0 0", "mark add 5 to 192.0.2.33", "mark add 6 to 192.0.2.34"})
	for _, x := range fair {
		s.rules([]string{x.add, fmt.Sprintf(x.server, 11), fmt.Sprintf(x.server, 12)})
	}
	return s
}

func playFair(t *testing.T, s *script, random *rand.Rand) {
	t.Helper()
	for step := range 6000 {
		nic, frame := s.bytesOf(fairFrame(random))
		s.arrive(nic, frame)
		if random.IntN(3) == 0 {
			s.now += Time(random.Int64N(int64(3 * Second)))
			s.world.run(t)
		}
		switch random.IntN(80) {
		case 0:
			_ = s.command(strings.Fields(fairCommand(random))) // some are refused
		case 1:
			s.roster.Collect()
		case 2:
			if all := s.roster.Servers(); len(all) > 0 {
				all[random.IntN(len(all))].Sever()
				s.workers[random.IntN(len(s.workers))].Sever()
			}
		}
		if step%100 == 0 {
			s.world.run(t)
			recountFair(t, s)
			if t.Failed() {
				t.Fatalf("at step %d", step)
			}
		}
	}
	if sum := s.totals(); sum["new-conns"] < 500 || sum["resets"] < 50 || sum["probes"] < 100 || s.roster.ftp.usedDialogs < 5 {
		t.Errorf("too little happened: %v", sum)
	}
	closeFair(t, s)
}

// closeFair lets all end, and looks for what is left.
func closeFair(t *testing.T, s *script) {
	t.Helper()
	for range 400 {
		s.now += 10 * Second
		s.world.run(t)
	}
	recountFair(t, s)
	if n := s.totals()["conns"]; n != 0 {
		t.Errorf("%d connections never end", n)
	}
	for _, srv := range s.roster.Servers() {
		if !srv.Idle() || srv.Templates() != 0 {
			t.Errorf("%v still counts when all is over", srv.Address.Address)
		}
	}
}

// TestTheFairIsRightWhileWorkersRace: run it with -race.
func TestTheFairIsRightWhileWorkersRace(t *testing.T) {
	s := openFair(t, 3)
	var frames [3][2][][]byte
	for i := range frames {
		random := rand.New(rand.NewPCG(uint64(i), 9))
		for range 3000 {
			n, f := s.bytesOf(fairFrame(random))
			frames[i][n] = append(frames[i][n], f)
		}
	}
	random, rounds := rand.New(rand.NewPCG(1, 9)), 0
	s.race(t, func(i int, stop <-chan struct{}) {
		for k := 0; ; k++ {
			select {
			case <-stop:
				return
			default:
			}
			for n, all := range frames[i] {
				s.queues[n][i].Inject(all[k%len(all)])
			}
		}
	}, func() bool {
		if c, err := admin.Parse(strings.Fields(fairCommand(random))); err == nil && s.set.Apply(c.Edit) == nil {
			s.follow(t)
			s.roster.Collect()
		}
		s.roster.Expected(s.now.tick(), func(Expected) {})
		rounds++
		return rounds > 60
	})
	s.world.run(t)
	recountFair(t, s)
	closeFair(t, s)
}

// recountFair compares counts, awaited ports and users of dialogs with the
// connections and expectations that they are of.
func recountFair(t *testing.T, s *script) {
	t.Helper()
	f := s.roster.ftp
	active, inactive := make([]int, s.roster.Slots()), make([]int, s.roster.Slots())
	users, expects, awaited := map[uint32]int32{}, map[uint32][]uint16{}, make([]uint64, 1<<16)
	await := func(vport, rport uint16) {
		awaited[vport]++
		if rport != vport {
			awaited[rport]++
		}
	}
	for _, w := range s.workers {
		w.table.Recount(active, inactive)
		w.table.Walk(0, 1<<30, func(i conntrack.Index, r *conntrack.Record) {
			if r.Flags&helped == 0 {
				return
			}
			x := w.sides[i]
			if x.dialog != 0 {
				users[x.dialog]++
			}
			if x.vport != 0 {
				await(x.vport, x.rport)
			}
		})
		asked := 0
		for i := range w.probes.places {
			if w.probes.places[i].asks != 0 {
				asked++
			}
		}
		if asked != w.probes.count {
			t.Errorf("%d connections are asked, %d counted", asked, w.probes.count)
		}
	}
	for n := f.oldest; n != 0; n = f.at(n).newer {
		x := f.at(n)
		inactive[x.server.Slot]++
		users[x.dialog]++
		expects[x.dialog] = append(expects[x.dialog], uint16(n))
		await(x.virtual.Port, x.rport)
	}
	for i := range f.dialogs[:f.usedDialogs] {
		var all [maxOfDialog]uint16
		if copy(all[:], expects[uint32(i+1)]); f.dialogs[i].expects != all {
			t.Errorf("dialog %d expects %v, there are %v", i+1, f.dialogs[i].expects, all)
		}
		if n := f.dialogs[i].users.Load(); n != users[uint32(i+1)] {
			t.Errorf("dialog %d has %d users, there are %d", i+1, n, users[uint32(i+1)])
		}
	}
	for port := range awaited {
		if n := s.awaited[port].Load(); n != awaited[port] {
			t.Errorf("port %d is awaited %d times, there are %d", port, n, awaited[port])
		}
	}
	for _, srv := range s.roster.Servers() {
		if a, i := srv.Counts(); int(a) != active[srv.Slot] || int(i) != inactive[srv.Slot] {
			t.Errorf("%v counts %d and %d, there are %d and %d", srv.Address.Address, a, i, active[srv.Slot], inactive[srv.Slot])
		}
	}
}
