package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/bench"
)

// benchGen takes the options of the kernel's pktgen scripts, and some more.
func benchGen(f *options) func(context.Context, stdio) error {
	var t bench.Traffic
	var nic, to, from, mac, ports, fromPorts, sizes string
	f.StringVar(&nic, "i", "", "`NIC` to send from; the other end needs an XDP program or GRO")
	f.StringVar(&sizes, "s", "", "bytes of a frame without FCS; several, as in 60,590,1514, in turn; imix (60, IPv6 78)")
	f.StringVar(&to, "d", "", "destination `ADDRESS`: the VIP")
	f.StringVar(&mac, "m", "", "destination `MAC` address: the director's")
	f.StringVar(&ports, "p", "80", "destination `PORT` or FIRST-LAST")
	f.IntVar(&t.Repeats, "c", 1, "frames of a flow in a row")
	threads := f.Int("t", 1, "threads, each on a CPU")
	first := f.Int("f", 0, "first CPU")
	f.Uint64Var(&t.Most, "n", 0, "frames in all; 0 = until interrupted")
	f.IntVar(&t.Batch, "b", 64, "frames that the kernel treats together")
	gap := f.Duration("w", 0, "time between two frames; 0 = as fast as it can")
	f.Float64Var(&t.Rate, "r", 0, "frames a second, in place of -w")
	f.StringVar(&from, "src", "", "first source `ADDRESS`; further flows count up (10.0.0.1, fd00:10::1)")
	f.StringVar(&fromPorts, "sport", "1024-65535", "source ports of each address")
	f.IntVar(&t.Flows, "flows", 1, "how many flows")
	f.BoolVar(&t.InOrder, "in-order", false, "one flow after the other, not at random")
	f.Float64Var(&t.Fresh, "new", 0, "share of the frames that open a new flow, 0 to 1")
	f.BoolVar(&t.SYN, "syn", false, "TCP SYN segments, not UDP")
	f.BoolVar(&t.Stamp, "stamp", false, "frames carry the time, for lvx bench sink --delays")
	limit := f.Duration("time", 0, "how long; 0 = until interrupted")
	return func(ctx context.Context, std stdio) (err error) {
		if *gap > 0 {
			t.Rate = float64(time.Second) / float64(*gap)
		}
		n, err := findNIC(nic)
		if err != nil {
			return err
		}
		t.Source = n.HardwareAddr
		if err := readTraffic(&t, mac, to, from, ports, fromPorts, sizes); err != nil {
			return misuse{err}
		}
		if *threads < 1 || *first < 0 {
			return misuse{fmt.Errorf("threads are at least 1 and CPUs count from 0, not %d from %d on", *threads, *first)}
		}
		if *limit > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, *limit)
			defer cancel()
		}
		return generate(ctx, std.out, n.Index, t, *threads, *first)
	}
}

func findNIC(name string) (*net.Interface, error) {
	if name == "" {
		return nil, misuse{errors.New("which NIC? give -i NIC")}
	}
	n, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("there is no NIC %q", name)
	}
	return n, nil
}

// readTraffic reads what words of the command line say; its error names the
// first that says nothing.
func readTraffic(t *bench.Traffic, mac, to, from, ports, fromPorts, sizes string) (err error) {
	if t.Destination, err = net.ParseMAC(mac); err != nil {
		return fmt.Errorf("-m takes the MAC address of the director's NIC, not %q", mac)
	}
	if t.To, err = netip.ParseAddr(to); err != nil {
		return fmt.Errorf("-d takes the address of a VIP, not %q", to)
	}
	if from != "" {
		if t.From, err = netip.ParseAddr(from); err != nil {
			return fmt.Errorf("--src takes an address, not %q", from)
		}
	}
	if t.Ports, err = readRange(ports); err != nil {
		return fmt.Errorf("-p takes PORT or FIRST-LAST, not %q", ports)
	}
	if t.FromPorts, err = readRange(fromPorts); err != nil {
		return fmt.Errorf("--sport takes PORT or FIRST-LAST, not %q", fromPorts)
	}
	if sizes == "imix" {
		t.Sizes = bench.IMIX
		return nil
	}
	for _, size := range listed(sizes) {
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("-s takes numbers of bytes, or imix, not %q", size)
		}
		t.Sizes = append(t.Sizes, n)
	}
	return nil
}

func readRange(s string) (r bench.Range, err error) {
	first, last, found := strings.Cut(s, "-")
	if !found {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	return bench.Range{First: uint16(from), Last: uint16(to)}, errors.Join(err, err2)
}

// generate runs one generator a thread; they share rate, number and flows.
func generate(ctx context.Context, out io.Writer, nic int, t bench.Traffic, threads, first int) error {
	t.Rate, t.Most = t.Rate/float64(threads), t.Most/uint64(threads)
	all := make([]*bench.Generator, threads)
	for i := range all {
		if t.Fresh > 0 && i > 0 { // new flows of its own
			t.From = apart(t.From, t.To.Is6())
		}
		g, err := bench.NewGenerator(nic, t)
		if err != nil {
			return err
		}
		defer g.Close()
		if err := g.Begin(i * t.Flows / threads); err != nil {
			return err
		}
		all[i] = g
	}
	began, done := time.Now(), make(chan error, threads)
	for i, g := range all {
		go func() {
			runtime.LockOSThread()
			var cpu unix.CPUSet
			cpu.Set((first + i) % runtime.NumCPU())
			if err := unix.SchedSetaffinity(0, &cpu); err != nil {
				done <- fmt.Errorf("pin to CPU %d: %w", first+i, err)
				return
			}
			done <- g.Run(ctx)
		}()
	}
	var errs []error
	for range all {
		errs = append(errs, <-done)
	}
	elapsed, sent, opened := time.Since(began), uint64(0), uint64(0)
	for _, g := range all {
		sent, opened = sent+g.Sent(), opened+g.Opened()
	}
	fmt.Fprintf(out, "sent %d frames in %.3f s: %.0f frames/s; %d of them opened a flow\n", sent, elapsed.Seconds(), float64(sent)/elapsed.Seconds(), opened)
	return errors.Join(errs...)
}

// apart returns the first source address of the next thread: 2^20 further on.
func apart(a netip.Addr, v6 bool) netip.Addr {
	if !a.IsValid() {
		a = netip.MustParseAddr("10.0.0.1")
		if v6 {
			a = netip.MustParseAddr("fd00:10::1")
		}
	}
	b := a.AsSlice()
	b[len(b)-3] += 16
	next, _ := netip.AddrFromSlice(b)
	return next
}

func benchSink(f *options) func(context.Context, stdio) error {
	var o bench.SinkOptions
	nic := f.String("i", "", "`NIC` at which frames arrive")
	f.BoolVar(&o.Verify, "verify", false, "check every checksum, and count frames by server")
	f.BoolVar(&o.Delays, "delays", false, "tell how long stamped frames were under way; for generator and sink on one machine")
	f.BoolVar(&o.Generic, "generic", false, "generic XDP, where the driver has no native one")
	every := f.Duration("every", time.Second, "how often a line is printed")
	return func(ctx context.Context, std stdio) error {
		n, err := findNIC(*nic)
		if err != nil {
			return err
		}
		s, err := bench.NewSink(n.Index, o)
		if err != nil {
			return err
		}
		defer s.Close()
		return watch(ctx, std.out, s, *every)
	}
}

// watch prints what arrives at a sink, and the sum at the end.
func watch(ctx context.Context, out io.Writer, s *bench.Sink, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var before bench.Arrived
	for last, at := false, time.Now(); !last; {
		select {
		case <-ctx.Done():
			last = true
		case <-tick.C:
		}
		a, err := s.Arrived()
		if err != nil {
			return err
		}
		now := time.Now()
		rate := float64(a.Frames-before.Frames) / now.Sub(at).Seconds()
		fmt.Fprintf(out, "%d frames, %.0f frames/s, bad IP checksums %d, bad TCP or UDP checksums %d\n", a.Frames, rate, a.BadIP, a.BadTransport)
		before, at = a, now
	}
	for server, n := range before.ByServer {
		if n > 0 {
			fmt.Fprintf(out, "server ...%x: %d\n", server, n)
		}
	}
	delays, err := s.Delays()
	if err == nil && delays.Count() > 0 {
		fmt.Fprintf(out, "delay: half %v, p99 %v, p99.9 %v, longest %v\n", delays.Quantile(0.5), delays.Quantile(0.99), delays.Quantile(0.999), delays.Largest())
	}
	return err
}
