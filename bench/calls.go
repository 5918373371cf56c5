package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// callRow is what TCP clients reach through a contender.
type callRow struct {
	contender        string
	keepalive, fresh []float64 // requests a second; fresh: a connection each
	keep99, fresh99  []float64 // microseconds
	bulk             []float64 // Gbit/s of one stream
	failed           int       // requests
}

// call returns the row of a contender, nil if there is none.
func (r *Result) call(name string) *callRow {
	for i := range r.calls {
		if r.calls[i].contender == name {
			return &r.calls[i]
		}
	}
	return nil
}

// callPrograms serve and call.
var callPrograms = []string{"nginx", "wrk", "iperf3"}

// tcp measures requests over HTTP and one bulk stream, with nobody pinned:
// clients, director and servers share all CPUs.
func (r *Result) tcp(ctx context.Context, o Options) (err error) {
	for _, program := range callPrograms {
		if _, err := find(program); err != nil {
			r.miss("TCP rows, as %s is not installed", program)
			return nil
		}
	}
	names := []string{"direct", "lvx", "nft-mtu", "lvx-batch", "nft", "haproxy", "nginx"}
	if o.Short {
		names = names[1:]
	}
	f := r.newField("TCP")
	defer func() { err = errors.Join(err, f.close()) }()
	for _, name := range names {
		f.enter(name, 1<<20, func(c *Contender) error { return errors.Join(c.serve(), c.answers(ctx)) })
	}
	for _, c := range f.all {
		r.calls = append(r.calls, callRow{contender: c.Name})
	}
	for round := range o.Rounds {
		o.say("TCP, round %d of %d", round+1, o.Rounds)
		for _, take := range callKinds {
			err := f.each(ctx, func(c *Contender) error {
				return take(r.call(c.Name), c, max(1, int(2*o.Window.Seconds()+0.5)))
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// target is where clients find the service of a contender.
func (c *Contender) target() (web, bulk string) {
	if c.Name == "direct" {
		return fmt.Sprintf("%s:%d", rips[0], realPort), rips[0]
	}
	return fmt.Sprintf("%s:%d", vip, virtualPort), vip
}

// answers waits until the web servers answer through the contender.
func (c *Contender) answers(ctx context.Context) error {
	web, bulk := c.target()
	for _, address := range []string{web, fmt.Sprintf("%s:%d", bulk, throughput)} {
		for end := time.Now().Add(patience); ; {
			once, cancel := context.WithTimeout(ctx, time.Second)
			conn, err := c.Client.Dial(once, "tcp", address)
			cancel()
			if err == nil {
				conn.Close()
				break
			}
			if time.Now().After(end) || ctx.Err() != nil {
				return fmt.Errorf("nobody answers: %w", err)
			}
			if err := sleep(ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// callKinds are the three figures of a round. Each is taken with all contenders
// in turn before the next.
var callKinds = []func(row *callRow, c *Contender, seconds int) error{
	func(row *callRow, c *Contender, seconds int) error {
		return row.requests(c, seconds, &row.keepalive, &row.keep99)
	},
	func(row *callRow, c *Contender, seconds int) error {
		return row.requests(c, seconds, &row.fresh, &row.fresh99, "-H", "Connection: close")
	},
	(*callRow).stream,
}

func (row *callRow) requests(c *Contender, seconds int, rates, p99s *[]float64, header ...string) error {
	web, _ := c.target()
	args := append([]string{"-t1", "-c32", "--latency", fmt.Sprintf("-d%ds", seconds)}, header...)
	out, err := command(c.Client, "wrk", append(args, "http://"+web+"/")...)
	if err != nil {
		return err
	}
	rate, p99, failed, err := readWrk(out)
	if err != nil {
		return err
	}
	row.failed += failed
	*rates, *p99s = append(*rates, rate), append(*p99s, p99)
	return nil
}

func (row *callRow) stream(c *Contender, seconds int) error {
	_, bulk := c.target()
	out, err := command(c.Client, "iperf3", "-c", bulk, "-t", strconv.Itoa(seconds), "-J")
	if err != nil {
		return err
	}
	var report struct {
		End struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		return fmt.Errorf("read iperf3: %w", err)
	}
	row.bulk = append(row.bulk, report.End.Received.Rate/1e9)
	return nil
}

var (
	wrkRate  = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrk99    = regexp.MustCompile(`99%\s+([0-9.]+)(us|ms|s)`)
	wrkFails = regexp.MustCompile(`(?:connect|read|write|timeout|responses:) (\d+)`)
	units    = map[string]float64{"us": 1, "ms": 1e3, "s": 1e6}
)

// readWrk reads requests a second, the 99th percentile in microseconds, and how
// many requests failed.
func readWrk(out string) (rate, p99 float64, failed int, err error) {
	r, l := wrkRate.FindStringSubmatch(out), wrk99.FindStringSubmatch(out)
	if r == nil || l == nil {
		return 0, 0, 0, fmt.Errorf("read wrk: %q", out)
	}
	for _, f := range wrkFails.FindAllStringSubmatch(out, -1) {
		n, _ := strconv.Atoi(f[1])
		failed += n
	}
	rate, err = strconv.ParseFloat(r[1], 64)
	v, err2 := strconv.ParseFloat(l[1], 64)
	return rate, math.Round(v * units[l[2]]), failed, errors.Join(err, err2)
}
