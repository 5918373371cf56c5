package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// idle measures what a director without traffic takes.
func (r *Result) idle(ctx context.Context, o Options) (err error) {
	c, err := NewContender("lvx", o.Self, 1<<20)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	windows, length := 3, 10*time.Second
	if o.Short {
		windows = 1
	}
	if err := sleep(ctx, time.Second); err != nil { // what a start leaves to do
		return err
	}
	for range windows {
		before, err := cpuTime(c.PID())
		if err != nil {
			return err
		}
		if err := sleep(ctx, length); err != nil {
			return err
		}
		after, err := cpuTime(c.PID())
		if err != nil {
			return err
		}
		r.idleCPU = append(r.idleCPU, float64(after-before)/float64(length))
	}
	return nil
}

// memoryRow is what a full table takes.
type memoryRow struct {
	title           string
	capacity, conns int
	rss, anonymous  int64 // of the process, with the table full
	maps            int64 // what the kernel charges for eBPF maps, the table in them
	emptyMaps       int64 // the same of a director with a table for 1024
}

// memory fills the tables of directors with connections that went through
// them.
func (r *Result) memory(ctx context.Context, o Options) error {
	rows := []memoryRow{{title: "IPv4", capacity: 1_000_000}, {title: "IPv6", capacity: 1_000_000}}
	if !o.Short {
		rows = append(rows, memoryRow{title: "IPv4", capacity: 10_000_000}, memoryRow{title: "IPv4", capacity: 100_000})
	}
	for _, row := range rows {
		o.say("memory of %d connections, %s", row.capacity, row.title)
		if err := row.fill(ctx, o); err != nil {
			return err
		}
		r.memories = append(r.memories, row)
	}
	return nil
}

func (row *memoryRow) fill(ctx context.Context, o Options) (err error) {
	c, err := NewContender("lvx", o.Self, 1024)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	row.emptyMaps = mapBytes(c.PID())
	c.table = row.capacity
	if err := errors.Join(c.restart(), c.count(SinkOptions{}), c.place(Apart, o.Urgent)); err != nil {
		return err
	}
	for range 8 {
		l := Load{Flows: row.capacity, InOrder: true, Rate: 1.6 * prefillRate, Most: uint64(row.capacity), IPv6: row.title == "IPv6"}
		_, stop, err := c.generate(ctx, l, o.Urgent)
		if err != nil {
			return err
		}
		if err := stop(); err != nil {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
		if row.conns, err = lvxConns(c); err != nil || row.conns == row.capacity {
			break
		}
	}
	row.maps = mapBytes(c.PID())
	row.rss, row.anonymous, err = resident(c.PID())
	return err
}

// compilerProfile is by what the compiler builds lvx; `make profile` makes it.
const compilerProfile = "cmd/lvx/default.pgo"

// process runs the Go benchmarks of the fast path in memory, where the module
// and the go command are there.
func (r *Result) process(ctx context.Context, o Options) error {
	if _, err := os.Stat("dataplane"); err != nil {
		r.miss("in-memory rows, as this was not run in the root of the source")
		return nil
	}
	count, length := "5", "300ms"
	if o.Short {
		count, length = "2", "100ms"
	}
	args := []string{"test", "-run", "^$", "-bench", "Process|NewConnection|FindAndPacket|Insert|Expire", "-benchmem",
		"-count", count, "-benchtime", length}
	if _, err := os.Stat(compilerProfile); err == nil { // as lvx itself is built
		args = append(args, "-pgo", compilerProfile)
	}
	args = append(args, "./dataplane", "./conntrack")
	cmd := exec.CommandContext(ctx, "go", args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.miss("in-memory rows: go %s: %v", strings.Join(args, " "), err)
		return ctx.Err()
	}
	for line := range strings.Lines(string(out)) {
		r.readBenchmark(line)
	}
	return nil
}

// benchmark is what the lines of one Go benchmark say.
type benchmark struct {
	name   string
	ns     []float64 // of CPU time a packet, where it says so; else of time a call
	allocs int       // a call, the most
}

// enough is how many calls make a figure: on a busy machine a benchmark may end
// with its first one.
const enough = 100

// readBenchmark reads a line like "BenchmarkFind/1000-2  5000  16.2 ns/op  0
// allocs/op".
func (r *Result) readBenchmark(line string) {
	f := strings.Fields(line)
	if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
		return
	}
	if calls, err := strconv.Atoi(f[1]); err != nil || calls < enough {
		return
	}
	name := strings.TrimPrefix(f[0], "Benchmark")
	name = strings.TrimSuffix(name, fmt.Sprintf("-%d", runtime.GOMAXPROCS(0)))
	values := map[string]float64{}
	for i := 2; i+1 < len(f); i += 2 {
		values[f[i+1]], _ = strconv.ParseFloat(f[i], 64)
	}
	ns, ok := values["cpu-ns/packet"]
	if !ok {
		ns = values["ns/op"]
	}
	at := slices.IndexFunc(r.inMemory, func(b benchmark) bool { return b.name == name })
	if at < 0 {
		at = len(r.inMemory)
		r.inMemory = append(r.inMemory, benchmark{name: name})
	}
	b := &r.inMemory[at]
	b.ns, b.allocs = append(b.ns, ns), max(b.allocs, int(values["allocs/op"]))
}
