package dataplane

import (
	"encoding/binary"
	"strings"
	"testing"
)

// crowd is a world with services, for tests that look at numbers and not at
// frames: what leaves or goes up is only counted.
func crowd(t testing.TB, z sizes) *script {
	t.Helper()
	s := &script{world: newWorld(t, topologies["twonic"], z), names: map[string]int{}}
	for _, m := range s.nics {
		m.Discard(true)
	}
	s.world.up.count = true
	for _, line := range []string{
		"-A -t 192.0.2.1:80 -s rr", "-a -t 192.0.2.1:80 -r 10.0.0.11:8080 -m",
		"-A -u 192.0.2.1:53 -s rr", "-a -u 192.0.2.1:53 -r 10.0.0.11:5353 -m", "-a -u 192.0.2.1:53 -r 10.0.0.12:5353 -m -w 0",
		"-A -u 192.0.2.1:54 -s rr",
		"-A --sctp-service 192.0.2.1:90 -s rr", "-a --sctp-service 192.0.2.1:90 -r 10.0.0.11:9090 -m",
		"-A -u [2001:db8::1]:53 -s wrr", "-a -u [2001:db8::1]:53 -r [fd00::11]:5353 -m",
		"mark add 5 to 192.0.2.32/28 udp", "-A -f 5 -s rr", "-a -f 5 -r 10.0.0.13:5353 -m",
	} {
		if err := s.command(strings.Fields(line)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// bytesOf returns the frame of a line like "public 1.2.3.4:5 -> ...".
func (s *script) bytesOf(line string) (nic int, frame []byte) {
	words := strings.Fields(line)
	sym, err := parseSymbol(words[1:])
	if err != nil {
		panic(err)
	}
	l := LinkID(0)
	if words[0] == "private" {
		l = 1
	}
	return s.links[l].NIC, s.frame(l, sym, 64, false)
}

func TestNoVerdictAllocates(t *testing.T) {
	const in, out = "public 198.51.100.7:1 -> 192.0.2.1:53 udp 18", "private 10.0.0.11:5353 -> 198.51.100.7:1 udp 18"
	newPort := func(_ *script, frame []byte, n int) { binary.BigEndian.PutUint16(frame[34:], uint16(1000+n)) }
	nothing := func(*script, []byte, int) {}
	with := func(sysctls string) func(*script, []byte, int) {
		return func(s *script, _ []byte, n int) {
			if n == 0 {
				if err := s.sysctl(strings.Fields(sysctls)); err != nil {
					panic(err)
				}
			}
		}
	}
	later := func(s *script, _ []byte, _ int) {
		s.now += 301 * Second
		s.worker.Round(s.now)
	}
	cases := []struct {
		name   string
		frames []string
		change func(s *script, frame []byte, n int) // of the first frame, before each run
		count  func(c *Counters) uint64             // grows with every run
	}{
		{"forward", []string{in, out}, nothing, func(c *Counters) uint64 { return c.Forwarded }},
		{"forward IPv6", []string{"public [2001:db8:7::7]:9 -> [2001:db8::1]:53 udp 9"}, nothing, func(c *Counters) uint64 { return c.Forwarded }},
		{"forward by firewall mark", []string{"public 198.51.100.7:1 -> 192.0.2.33:53 udp 18", "private 10.0.0.13:5353 -> 198.51.100.7:1 udp 18"},
			nothing, func(c *Counters) uint64 { return c.Forwarded }},
		{"new connection by firewall mark", []string{"public 198.51.100.7:1 -> 192.0.2.33:53 udp 18"}, newPort, func(c *Counters) uint64 { return c.NewConns }},
		{"forward SCTP", []string{
			"public 198.51.100.7:1 -> 192.0.2.1:90 sctp INIT", "public 198.51.100.7:1 -> 192.0.2.1:90 sctp ABORT",
		}, nothing, func(c *Counters) uint64 { return c.Forwarded }},
		{"schedule an error", []string{"public 203.0.113.9 -> 192.0.2.1 icmp 3/4 about 192.0.2.1:53 -> 198.51.100.7:9 udp 18"}, with("schedule_icmp=1"),
			func(c *Counters) uint64 { return c.Forwarded }},
		{"tell a server", []string{"private 10.0.0.11:5353 -> 198.51.100.8:1 udp 18"}, with("nat_icmp_send=1"), func(c *Counters) uint64 { return c.Errors }},
		{"drop packet", []string{in}, func(s *script, frame []byte, n int) {
			with("drop_packet=3 am_droprate=1")(s, frame, n)
			newPort(s, frame, n)
		}, func(c *Counters) uint64 { return c.Dropped[DropPacket] }},
		{"drop entry", []string{"public 198.51.100.7:1 -> 192.0.2.1:80 tcp S"}, func(s *script, frame []byte, n int) {
			with("drop_entry=3")(s, frame, n)
			for range 70 {
				s.now += Second
				s.worker.Round(s.now)
			}
		}, func(c *Counters) uint64 { return c.NewConns }},
		{"new connection", []string{in}, newPort, func(c *Counters) uint64 { return c.NewConns }},
		{"port used again", []string{
			"public 198.51.100.7:1 -> 192.0.2.1:80 tcp S", "public 198.51.100.7:1 -> 192.0.2.1:80 tcp A",
			"public 198.51.100.7:1 -> 192.0.2.1:80 tcp R",
		}, nothing, func(c *Counters) uint64 { return c.NewConns }},
		{"data connection", []string{
			"public 198.51.100.7:1 -> 192.0.2.1:50000 tcp S", "public 198.51.100.7:1 -> 192.0.2.1:21 tcp S", "public 198.51.100.7:1 -> 192.0.2.1:21 tcp A",
			`public 198.51.100.7:1 -> 192.0.2.1:21 tcp PA text=PASV\r\n`, `private 10.0.0.11:21 -> 198.51.100.7:1 tcp PA text=227_(10,0,0,11,195,80)\r\n`,
			`private 10.0.0.11:21 -> 198.51.100.7:1 tcp PA text=227_(10,0,0,11,195,80)\r\n`, `public 198.51.100.7:1 -> 192.0.2.1:21 tcp PA ack=2000 text=EPRT_|1|198.51.100.7|2|\r\n`,
		}, func(s *script, frame []byte, n int) {
			if n == 0 {
				s.rules(talking)
			}
			newPort(s, frame, n)
		}, func(c *Counters) uint64 { return c.NewConns }},
		{"reset", []string{"public 198.51.100.7:7 -> 192.0.2.1:80 tcp A"}, nothing, func(c *Counters) uint64 { return c.Resets }},
		{"no server", []string{"public 198.51.100.7:1 -> 192.0.2.1:54 udp 18"}, nothing, func(c *Counters) uint64 { return c.Errors }},
		{"time exceeded", []string{in + " ttl=1"}, nothing, func(c *Counters) uint64 { return c.Errors }},
		{"too big", []string{"public 198.51.100.7:1 -> 192.0.2.1:53 udp 1480 df"}, nothing, func(c *Counters) uint64 { return c.Errors }},
		{"fragmented", []string{"public 198.51.100.7:1 -> 192.0.2.1:53 udp 1480"}, nothing, func(c *Counters) uint64 { return c.Dropped[Recut] }},
		{"reassembled", []string{in + " frag=8:18", in + " frag=0:8"}, nothing, func(c *Counters) uint64 { return c.Dropped[Recut] }},
		{"fragment in time out", []string{in + " frag=8:18"}, later,
			func(c *Counters) uint64 { return c.Dropped[FragmentTimeout] }},
		{"translated error", []string{in, "private 10.0.0.11 -> 198.51.100.7 icmp 3/3 about 198.51.100.7:1 -> 10.0.0.11:5353 udp 18"}, nothing,
			func(c *Counters) uint64 { return c.Forwarded }},
		{"hold and send", []string{in}, func(s *script, _ []byte, _ int) {
			s.hops.Set(1, addrOf("10.0.0.11"), HopUsable, MAC{1})
			s.worker.Round(s.now)
			s.hops.Set(1, addrOf("10.0.0.11"), HopFailed, MAC{})
		}, func(c *Counters) uint64 { return c.Forwarded }},
		{"hold in vain", []string{in}, func(s *script, _ []byte, _ int) { s.hops.Set(1, addrOf("10.0.0.11"), HopFailed, MAC{}) },
			func(c *Counters) uint64 { return c.Dropped[NoHop] }},
		{"pass up", []string{"public 198.51.100.7:1 -> 192.0.2.1:99 udp 18"}, nothing, func(c *Counters) uint64 { return c.PassedUp }},
		{"drop", []string{in + " hsum=bad"}, nothing, func(c *Counters) uint64 { return c.Dropped[BadChecksum] }},
		{"ask whether it lives", []string{"public 198.51.100.7:1 -> 192.0.2.1:80 tcp S", "public 198.51.100.7:1 -> 192.0.2.1:80 tcp A"}, func(s *script, _ []byte, _ int) {
			s.now += 900 * Second
			for range 70 {
				s.now += Second / 10
				s.worker.Round(s.now)
			}
		}, func(c *Counters) uint64 { return c.Probes }},
		{"expire", []string{in}, later, func(c *Counters) uint64 { return c.Expired }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := crowd(t, sizes{conns: 1000, frames: 256, ring: 256})
			nics, frames := make([]int, len(c.frames)), make([][]byte, len(c.frames))
			for i, line := range c.frames {
				nics[i], frames[i] = s.bytesOf(line)
			}
			n := 0
			run := func() {
				s.now += 2 * Second
				c.change(s, frames[0], n)
				n++
				for i := range frames {
					s.nics[nics[i]].Inject(frames[i])
					s.worker.Round(s.now)
				}
				s.worker.Round(s.now)
			}
			for range 3 {
				run()
				s.resolve()
			}
			before := c.count(&s.worker.Counters)
			if allocs := testing.AllocsPerRun(100, run); allocs != 0 {
				t.Errorf("%v allocations", allocs)
			}
			if grown := c.count(&s.worker.Counters) - before; grown < 100 {
				t.Errorf("only %d of 100 runs took this way", grown)
			}
			s.check(t)
		})
	}
}
