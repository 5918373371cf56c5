package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/lvx-lb/lvx/internal/netlab"
)

// Addresses of every site. The servers share one host and one NIC, so that
// nothing but the director is between Generator and Sink.
const (
	vip, vip6           = "172.25.8.110", "fd00:8::110"
	client, client6     = "172.25.8.10", "fd00:8::10"
	outside, outside6   = "172.25.8.100", "fd00:8::100"
	inside, inside6     = "172.25.254.1", "fd00:254::1"
	virtualPort         = 80
	realPort            = 8080
	throughput          = 5201 // iperf3
	public, private     = "pub0", "priv0"
	clients, clients6   = "10.0.0.0/8", "fd00:10::/32"
	patience            = 20 * time.Second
	prefillRate         = 250_000
	clientNIC, innerNIC = "eth0", "eth0"
)

var (
	rips  = []string{"172.25.254.2", "172.25.254.3"}
	rip6s = []string{"fd00:254::2", "fd00:254::3"}
)

// Site is a client, a director and servers in network namespaces of their
// own: client ─ pub0 director priv0 ─ servers.
type Site struct {
	*netlab.Lab
	Client, Director, Server *netlab.Host

	from, at *netlink.LinkAttrs // the client's and the director's public NIC
	sink     *Sink
	opened   uint64 // flows that generators have opened as new ones
	sent     uint64 // frames of all generators
}

// NewSite lays out a site.
func NewSite() (s *Site, err error) {
	s = &Site{}
	if s.Lab, err = netlab.New(); err != nil {
		return nil, err
	}
	if err = s.build(); err != nil {
		return nil, errors.Join(err, s.Lab.Close())
	}
	return s, nil
}

func (s *Site) build() error {
	hosts, err := s.Hosts("client", "director", "server")
	if err != nil {
		return err
	}
	s.Client, s.Director, s.Server = hosts[0], hosts[1], hosts[2]
	err = errors.Join(
		s.Link(s.Client, clientNIC, s.Director, public),
		s.Link(s.Director, private, s.Server, innerNIC),
		s.Client.Address(clientNIC, client+"/24"), s.Client.Address(clientNIC, client6+"/64"),
		s.Client.Route("default", outside, clientNIC), s.Client.Route("default6", outside6, clientNIC),
		s.Director.Address(public, outside+"/24"), s.Director.Address(public, outside6+"/64"),
		s.Director.Address(public, vip+"/32"), s.Director.Address(public, vip6+"/128"),
		s.Director.Address(private, inside+"/24"), s.Director.Address(private, inside6+"/64"),
		s.Director.Route(clients, client, public), s.Director.Route(clients6, client6, public))
	for i := range rips {
		err = errors.Join(err, s.Server.Address(innerNIC, rips[i]+"/24"), s.Server.Address(innerNIC, rip6s[i]+"/64"))
	}
	if err = errors.Join(err, s.Server.Route("default", inside, innerNIC), s.Server.Route("default6", inside6, innerNIC)); err != nil {
		return err
	}
	if s.from, err = s.Client.NIC(clientNIC); err != nil {
		return err
	}
	s.at, err = s.Director.NIC(public)
	return err
}

// count attaches the sink. TCP between the hosts goes on, more slowly.
func (s *Site) count(o SinkOptions) error {
	nic, err := s.Server.NIC(innerNIC)
	if err != nil {
		return err
	}
	return s.Server.Do(func() error {
		s.sink, err = NewSink(nic.Index, o)
		return err
	})
}

// Close removes the site.
func (s *Site) Close() error {
	var err error
	if s.sink != nil {
		err = s.sink.Close()
	}
	return errors.Join(err, s.Lab.Close())
}

// command runs a program in a host and makes its output part of the error.
func command(h *netlab.Host, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	path, err := find(name)
	if err != nil {
		return "", err
	}
	out, err := h.Run(ctx, path, args...)
	if err != nil {
		return out, fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return out, nil
}

// Load is traffic towards the service of a site.
type Load struct {
	Flows   int
	Fresh   float64
	InOrder bool
	Rate    float64
	Most    uint64
	Stamp   bool
	IPv6    bool
	Sizes   []int
}

func (s *Site) traffic(l Load) Traffic {
	t := Traffic{
		Source: s.from.HardwareAddr, Destination: s.at.HardwareAddr,
		From: netip.MustParseAddr("10.0.0.1"), To: netip.MustParseAddr(vip),
		Ports: Range{virtualPort, virtualPort}, Flows: l.Flows, Fresh: l.Fresh, InOrder: l.InOrder,
		Rate: l.Rate, Most: l.Most, Stamp: l.Stamp, Sizes: l.Sizes,
	}
	if l.IPv6 {
		t.From, t.To = netip.MustParseAddr("fd00:10::1"), netip.MustParseAddr(vip6)
	}
	if l.Fresh > 0 { // behind all that was opened before
		b := t.From.As4()
		first := uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
		first += uint32(s.opened/64512) + 2
		t.From = netip.AddrFrom4([4]byte{10, byte(first >> 16), byte(first >> 8), byte(first)})
	}
	return t
}

// generate sends in the background until stop is called, which returns the
// generator's error.
func (s *Site) generate(ctx context.Context, l Load, urgent bool) (g *Generator, stop func() error, err error) {
	g, err = NewGenerator(s.from.Index, s.traffic(l))
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- s.Client.Do(func() error {
			nice := asIs
			if urgent {
				nice = first
			}
			if err := pin(0, generatorCPU, nice); err != nil {
				return err
			}
			return g.Run(ctx)
		})
	}()
	return g, func() error {
		if l.Most == 0 {
			cancel()
		}
		err := <-done
		cancel()
		s.opened += g.Opened()
		s.sent += g.Sent()
		return errors.Join(err, g.Close())
	}, nil
}

// Sample is what one window of a measurement gave.
type Sample struct {
	Elapsed time.Duration
	Sent    uint64 // by the generator
	Refused uint64 // of these, by the director's public NIC
	Arrived uint64 // at the sink
	CPU     int64  // nanoseconds the director's process used, 0 where the kernel is the director
	Delays  Histogram
}

// Rate is frames a second at the sink.
func (s Sample) Rate() float64 { return float64(s.Arrived) / s.Elapsed.Seconds() }

// measure sends a load for warm, and then for length, of which it returns the
// figures.
func (s *Site) measure(ctx context.Context, l Load, warm, length time.Duration, pid int, urgent bool) (sample Sample, err error) {
	g, stop, err := s.generate(ctx, l, urgent)
	if err != nil {
		return sample, err
	}
	if err = sleep(ctx, warm); err == nil {
		sample, err = s.window(ctx, g, length, pid)
	}
	return sample, errors.Join(err, stop())
}

func (s *Site) window(ctx context.Context, g *Generator, length time.Duration, pid int) (Sample, error) {
	before, err := s.reading(g, pid)
	if err != nil {
		return Sample{}, err
	}
	if err := sleep(ctx, length); err != nil {
		return Sample{}, err
	}
	after, err := s.reading(g, pid)
	if err != nil {
		return Sample{}, err
	}
	return Sample{
		Elapsed: after.at.Sub(before.at), Sent: after.sent - before.sent, Refused: after.refused - before.refused,
		Arrived: after.arrived - before.arrived, CPU: after.cpu - before.cpu, Delays: after.delays.Since(before.delays),
	}, nil
}

type reading struct {
	at                     time.Time
	sent, refused, arrived uint64
	cpu                    int64
	delays                 Histogram
}

func (s *Site) reading(g *Generator, pid int) (r reading, err error) {
	nic, err := s.Client.Counters(clientNIC)
	if err != nil {
		return r, err
	}
	if r.delays, err = s.sink.Delays(); err != nil {
		return r, err
	}
	if pid > 0 {
		if r.cpu, err = cpuTime(pid); err != nil {
			return r, err
		}
	}
	a, err := s.sink.Arrived()
	r.at, r.sent, r.refused, r.arrived = time.Now(), g.Sent(), nic.TxDropped, a.Frames
	return r, err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
