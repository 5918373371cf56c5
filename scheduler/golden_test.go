package scheduler

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// bench is a service as the recordings had it: servers rs1, rs2, ... at
// 10.1.0.11, .12, ... (or .61, .62, ...) port 8080, and connections that are
// held or not.
type bench struct {
	t       testing.TB
	s       Scheduler
	servers []Server // newest first
	nextID  uint32
	base    int
}

func newBench(t testing.TB, scheduler string, weights ...int) *bench {
	t.Helper()
	return newBenchAt(t, 10, scheduler, weights...)
}

func newBenchAt(t testing.TB, base int, scheduler string, weights ...int) *bench {
	t.Helper()
	name, flags, _ := strings.Cut(scheduler, ".")
	b := &bench{t: t, base: base}
	b.use(name, strings.FieldsFunc(flags, func(r rune) bool { return r == ',' })...)
	for i, w := range weights {
		b.add(i+1, w)
	}
	return b
}

// use puts a scheduler on the service as ipvsadm -E -s does.
func (b *bench) use(name string, flags ...string) {
	b.t.Helper()
	s, err := New(name, flags)
	if err != nil {
		b.t.Fatal(err)
	}
	b.s = s
	if len(b.servers) > 0 {
		s.Update(b.servers)
	}
}

func (b *bench) add(rs, weight int) {
	b.nextID++
	b.servers = append([]Server{{
		ID: b.nextID, Weight: weight, Counts: new(Counts),
		Addr: netip.AddrFrom4([4]byte{10, 1, 0, byte(b.base + rs)}), Port: 8080,
	}}, b.servers...)
	b.s.Update(b.servers)
}

func (b *bench) index(rs int) int {
	for i := range b.servers {
		if rsOf(&b.servers[i]) == rs {
			return i
		}
	}
	b.t.Fatalf("no rs%d", rs)
	return -1
}

func rsOf(s *Server) int { a := s.Addr.As4(); return int(a[3]) % 10 }

func (b *bench) edit(rs, weight int) {
	b.servers[b.index(rs)].Weight = weight
	b.s.Update(b.servers)
}

func (b *bench) delete(rs int) {
	i := b.index(rs)
	b.servers = append(append([]Server{}, b.servers[:i]...), b.servers[i+1:]...)
	b.s.Update(b.servers)
}

func (b *bench) overload(rs int) { b.servers[b.index(rs)].Counts.overloaded.Store(true) }

// connect returns "rs2" or "ERR". A held connection stays active, another
// becomes inactive at once.
func (b *bench) connect(src netip.AddrPort, hold bool) string {
	i := b.s.Pick(b.servers, KeyFrom(src, netip.MustParseAddrPort("203.0.113.100:80")))
	if i < 0 {
		return "ERR"
	}
	b.servers[i].Counts.Begin(hold)
	return fmt.Sprintf("rs%d", rsOf(&b.servers[i]))
}

// sequence makes n connections from one address.
func (b *bench) sequence(n int) string {
	var s []string
	for i := range n {
		s = append(s, b.connect(netip.AddrPortFrom(netip.MustParseAddr("203.0.113.10"), uint16(20000+i)), false))
	}
	return strings.Join(s, " ")
}

func (b *bench) want(sequence string) {
	b.t.Helper()
	if got := b.sequence(len(strings.Fields(sequence))); got != sequence {
		b.t.Errorf("got  %s\nwant %s", got, sequence)
	}
}

// Every line of testdata/sequences.txt was recorded on Linux 6.1:
// scheduler, weights in the order of adding, hold or rst, first source port,
// sources (one address, or a range one connection each), what was chosen.
func TestChoicesAreThoseRecordedOnLinux(t *testing.T) {
	f, err := os.Open("testdata/sequences.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		t.Run(line, func(t *testing.T) { replay(t, line) })
	}
}

func replay(t *testing.T, line string) {
	field := strings.Split(line, "|")
	for i := range field {
		field[i] = strings.TrimSpace(field[i])
	}
	var weights []int
	for w := range strings.FieldsSeq(field[1]) {
		var n int
		fmt.Sscan(w, &n)
		weights = append(weights, n)
	}
	b := newBench(t, field[0], weights...)
	var port uint16
	fmt.Sscan(field[3], &port)
	src := netip.MustParseAddr(field[4])
	want := strings.Fields(field[6])
	for i := range want {
		got := b.connect(netip.AddrPortFrom(src, port), field[2] == "hold")
		if got != want[i] {
			t.Fatalf("connection %d went to %s, recorded %s", i+1, got, want[i])
		}
		if field[5] == "next-address" {
			src = src.Next()
		} else {
			port++
		}
	}
}
