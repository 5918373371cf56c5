package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ErrTraffic says that no generator can make what was asked for.
var ErrTraffic = errors.New("impossible traffic")

// Traffic says what a Generator sends. The zero value of a field is the
// default that its comment names.
type Traffic struct {
	Source      net.HardwareAddr // of the frames; zeros
	Destination net.HardwareAddr // of the frames; must be given
	From        netip.Addr       // the first client; further ones count up; 10.0.0.1 or fd00:10::1
	To          netip.Addr       // the virtual service; must be given
	FromPorts   Range            // ports of each client; 1024-65535
	Ports       Range            // ports of the service; 80
	SYN         bool             // TCP SYN segments, not UDP

	Flows   int     // how many flows there are; 1
	InOrder bool    // one flow after the other, not at random
	Fresh   float64 // share of the frames that open a new flow, 0 to 1
	Repeats int     // frames of a flow in a row; 1

	Sizes []int   // bytes of a frame without FCS, taken in turn, at most 16; 60
	Rate  float64 // frames a second; 0 = as fast as it can
	Most  uint64  // frames in all; 0 = until told to stop
	Stamp bool    // frames carry the time they were made
	Batch int     // frames the kernel treats together; 64
}

// Range is a range of TCP or UDP ports.
type Range struct{ First, Last uint16 }

// IMIX is the simple Internet mix: 7 small, 4 middle, 1 large frame.
var IMIX = []int{60, 590, 60, 60, 590, 60, 60, 590, 60, 590, 60, 1514}

const (
	liveFrames = 1 << 1 // BPF_F_TEST_XDP_LIVE_FRAMES
	// inOneCall is how many frames are made, or found not due, by one system
	// call. The kernel takes some 10 ms to set each up and clean up after it, in
	// which nothing is sent.
	inOneCall = 1 << 23
	ethernet  = 14
)

// Generator sends Traffic out of a NIC by BPF_PROG_TEST_RUN with live frames
// (Linux 5.18): 7 to 12 million frames a second out of a veth. Frames reach
// the other end only if that end has an XDP program or GRO.
type Generator struct {
	traffic Traffic
	nic     int
	kernel  generatorObjects
}

type generatorObjects struct {
	Program   *ebpf.Program  `ebpf:"lvx_generate"`
	Sent      *ebpf.Variable `ebpf:"sent"`
	SentBytes *ebpf.Variable `ebpf:"sent_bytes"`
	Opened    *ebpf.Variable `ebpf:"opened"`
	Turn      *ebpf.Variable `ebpf:"turn"`
	State     *ebpf.Variable `ebpf:"state"`
	Stopped   *ebpf.Variable `ebpf:"stopped"`
}

// NewGenerator prepares traffic out of the NIC of that index. Only Run sends.
func NewGenerator(nic int, t Traffic) (*Generator, error) {
	t = t.withDefaults()
	if err := t.check(); err != nil {
		return nil, err
	}
	spec, err := loadTraffic()
	if err != nil {
		return nil, err
	}
	if err := set(spec, t.variables()); err != nil {
		return nil, err
	}
	g := &Generator{traffic: t, nic: nic}
	if err := spec.LoadAndAssign(&g.kernel, nil); err != nil {
		return nil, fmt.Errorf("load generator: %w", err)
	}
	return g, nil
}

func (t Traffic) withDefaults() Traffic {
	if !t.From.IsValid() {
		t.From = netip.MustParseAddr("10.0.0.1")
		if t.To.Is6() {
			t.From = netip.MustParseAddr("fd00:10::1")
		}
	}
	if t.Source == nil {
		t.Source = make(net.HardwareAddr, 6)
	}
	if t.FromPorts == (Range{}) {
		t.FromPorts = Range{1024, 65535}
	}
	if t.Ports == (Range{}) {
		t.Ports = Range{80, 80}
	}
	t.Flows, t.Repeats = max(t.Flows, 1), max(t.Repeats, 1)
	if len(t.Sizes) == 0 {
		t.Sizes = []int{t.smallest()}
	}
	if t.Batch == 0 {
		t.Batch = 64
	}
	return t
}

// smallest is the smallest frame that has room for the generator's mark.
func (t Traffic) smallest() int {
	headers := ethernet + 20
	if t.To.Is6() {
		headers = ethernet + 40
	}
	const mark = 16
	if t.SYN {
		return max(60, headers+20)
	}
	return max(60, headers+8+mark)
}

func (t Traffic) check() error {
	switch {
	case len(t.Destination) != 6 || len(t.Source) != 6:
		return fmt.Errorf("%w: no MAC address", ErrTraffic)
	case !t.To.IsValid() || t.To.Is6() != t.From.Is6():
		return fmt.Errorf("%w: from %v to %v", ErrTraffic, t.From, t.To)
	case t.FromPorts.Last < t.FromPorts.First || t.Ports.Last < t.Ports.First:
		return fmt.Errorf("%w: ports end before they begin", ErrTraffic)
	case len(t.Sizes) > 16:
		return fmt.Errorf("%w: more than 16 sizes", ErrTraffic)
	case t.Fresh < 0 || t.Fresh > 1 || t.Rate < 0:
		return fmt.Errorf("%w: share of new flows %v, rate %v", ErrTraffic, t.Fresh, t.Rate)
	case t.Batch < 1 || t.Batch > 256:
		return fmt.Errorf("%w: batch of %d", ErrTraffic, t.Batch)
	}
	for _, size := range t.Sizes {
		if size < t.smallest() || size > 3000 {
			return fmt.Errorf("%w: frame of %d bytes, it takes %d to 3000", ErrTraffic, size, t.smallest())
		}
	}
	return nil
}

// variables are those of traffic.c.
func (t Traffic) variables() map[string]any {
	sizes, largest := [16]uint32{}, 0
	for i, size := range t.Sizes {
		sizes[i], largest = uint32(size), max(largest, size)
	}
	gap := uint64(0)
	if t.Rate > 0 {
		gap = uint64(1e9 / t.Rate * 1024)
	}
	protocol := uint32(unix.IPPROTO_UDP)
	if t.SYN {
		protocol = unix.IPPROTO_TCP
	}
	return map[string]any{
		"macs": [12]byte(append(append([]byte{}, t.Destination...), t.Source...)),
		"v6":   flag(t.To.Is6()), "protocol": protocol,
		"src": words(t.From, true), "dst": words(t.To, false),
		"flows": uint32(t.Flows), "in_order": flag(t.InOrder), "repeats": uint32(t.Repeats),
		"fresh_share": uint32(min(t.Fresh*(1<<32), 1<<32-1)),
		"src_ports":   t.FromPorts.words(), "dst_ports": t.Ports.words(),
		"sizes": sizes, "all_sizes": uint32(len(t.Sizes)), "size_max": uint32(largest),
		"gap": gap, "most": t.Most, "stamped": flag(t.Stamp),
	}
}

func (r Range) words() [2]uint32 { return [2]uint32{uint32(r.First), uint32(r.Last-r.First) + 1} }

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// words are the words of an address as they lie in a frame. Of a source the
// last one is in host order, as the program counts it up.
func words(a netip.Addr, source bool) (w [4]uint32) {
	b := a.AsSlice()
	for i := 0; i < len(b); i += 4 {
		w[i/4] = uint32(b[i]) | uint32(b[i+1])<<8 | uint32(b[i+2])<<16 | uint32(b[i+3])<<24
	}
	if source {
		last := b[len(b)-4:]
		w[3] = uint32(last[3]) | uint32(last[2])<<8 | uint32(last[1])<<16 | uint32(last[0])<<24
	}
	return w
}

func set(spec *ebpf.CollectionSpec, values map[string]any) error {
	for name, value := range values {
		v := spec.Variables[name]
		if v == nil {
			return fmt.Errorf("set %s: no such variable", name)
		}
		if err := v.Set(value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// Begin makes the next Run begin with that flow, for one of several
// generators that share the flows, and gives it a random order of its own.
func (g *Generator) Begin(flow int) error {
	return errors.Join(g.kernel.Turn.Set(uint32(flow)), g.kernel.State.Set(88172645463325252+uint64(flow)*0x9e3779b97f4a7c15))
}

// Run sends until the context ends or all frames are sent; it returns up to
// half a second later. The calling thread must be in the NIC's network
// namespace; it is kept until Run returns. A Generator runs once.
func (g *Generator) Run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	largest := 0
	for _, size := range g.traffic.Sizes {
		largest = max(largest, size)
	}
	frame := make([]byte, largest)
	md := struct{ Data, DataEnd, DataMeta, Ingress, Queue, Egress uint32 }{DataEnd: uint32(largest), Ingress: uint32(g.nic)}
	defer context.AfterFunc(ctx, func() { g.kernel.Stopped.Set(uint32(1)) })()
	for ctx.Err() == nil {
		_, err := g.kernel.Program.Run(&ebpf.RunOptions{
			Data: frame, Context: md, Repeat: inOneCall, Flags: liveFrames, BatchSize: uint32(g.traffic.Batch),
		})
		if err != nil {
			return fmt.Errorf("generate frames: %w", err)
		}
		if g.traffic.Most > 0 && g.Sent() >= g.traffic.Most {
			return nil
		}
	}
	return nil
}

// Sent is how many frames were made. Those that the NIC refused count too;
// its own counters tell how many these were.
func (g *Generator) Sent() uint64 { return read(g.kernel.Sent) }

// Opened is how many of the frames opened a new flow by Traffic.Fresh.
func (g *Generator) Opened() uint64 { return read(g.kernel.Opened) }

func read(v *ebpf.Variable) (n uint64) {
	if v.Get(&n) != nil {
		return 0
	}
	return n
}

// Close unloads the program.
func (g *Generator) Close() error { return g.kernel.Program.Close() }
