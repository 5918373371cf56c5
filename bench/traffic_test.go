package bench

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"

	"github.com/lvx-lb/lvx/internal/netlab"
)

// wire is a client and a server joined by a cable.
type wire struct {
	*netlab.Lab
	client, server *netlab.Host
	from, to       *netlink.LinkAttrs
}

func newWire(t *testing.T) *wire {
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces and eBPF")
	}
	l, err := netlab.New()
	must(t, err)
	t.Cleanup(func() { l.Close() })
	w := &wire{Lab: l}
	hosts, err := l.Hosts("client", "server")
	must(t, err)
	w.client, w.server = hosts[0], hosts[1]
	must(t, l.Link(w.client, "eth0", w.server, "eth0"))
	w.from, err = w.client.NIC("eth0")
	must(t, err)
	w.to, err = w.server.NIC("eth0")
	must(t, err)
	return w
}

// send runs a generator to its end.
func (w *wire) send(t *testing.T, traffic Traffic) *Generator {
	t.Helper()
	traffic.Source, traffic.Destination = w.from.HardwareAddr, w.to.HardwareAddr
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g, err := NewGenerator(w.from.Index, traffic)
	must(t, err)
	t.Cleanup(func() { g.Close() })
	must(t, w.client.Do(func() error { return g.Run(ctx) }))
	return g
}

func (w *wire) sink(t *testing.T, o SinkOptions) (s *Sink) {
	t.Helper()
	must(t, w.server.Do(func() (err error) { s, err = NewSink(w.to.Index, o); return err }))
	t.Cleanup(func() { s.Close() })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	four = netip.MustParseAddr("192.0.2.1")
	six  = netip.MustParseAddr("2001:db8::1")
)

var sorts = map[string]Traffic{
	"IPv4 UDP":                 {To: four, Flows: 100_000},
	"IPv4 UDP in order":        {To: four, Flows: 1000, InOrder: true},
	"IPv4 UDP new flows":       {To: four, Flows: 10, Fresh: 1},
	"IPv4 UDP IMIX":            {To: four, Flows: 1000, Sizes: IMIX},
	"IPv4 UDP stamped":         {To: four, Flows: 1000, Stamp: true},
	"IPv4 UDP odd size":        {To: four, Flows: 1000, Sizes: []int{61, 1513}},
	"IPv4 TCP":                 {To: four, Flows: 1000, SYN: true},
	"IPv6 UDP":                 {To: six, Flows: 100_000},
	"IPv6 UDP IMIX stamped":    {To: six, Flows: 100_000, Sizes: []int{78, 590, 1514}, Stamp: true},
	"IPv6 TCP":                 {To: six, SYN: true},
	"many ports of the server": {To: four, Flows: 1000, Ports: Range{1, 1000}},
}

func TestSinkCountsWhatTheGeneratorSends(t *testing.T) {
	for name, traffic := range sorts {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			s := w.sink(t, SinkOptions{Verify: true, Delays: true})
			traffic.Most, traffic.Rate = 20_000, 400_000
			g := w.send(t, traffic)
			var a Arrived
			eventually(t, "all frames", func() bool {
				var err error
				a, err = s.Arrived()
				must(t, err)
				return a.Frames >= traffic.Most
			})
			if g.Sent() != traffic.Most || a.Frames != traffic.Most || a.BadIP != 0 || a.BadTransport != 0 {
				t.Errorf("sent %d, arrived %+v", g.Sent(), a)
			}
			if a.ByServer[1] != traffic.Most {
				t.Errorf("by server: %v", a.ByServer)
			}
			if delays, err := s.Delays(); err != nil || traffic.Stamp != (delays.Count() == traffic.Most) {
				t.Errorf("%d delays, %v", delays.Count(), err)
			}
		})
	}
}

// An independent decoder sees valid packets with the flows that were asked
// for.
func TestFramesAreThoseOfTheTraffic(t *testing.T) {
	for name, traffic := range sorts {
		t.Run(name, func(t *testing.T) {
			w := newWire(t)
			if out, err := w.server.Run(t.Context(), "ethtool", "-K", "eth0", "gro", "on"); err != nil {
				t.Skipf("needs ethtool: %s", out)
			}
			raw, err := w.server.Raw("eth0")
			must(t, err)
			defer raw.Close()
			const frames = 200
			traffic.Most, traffic.Rate = frames, 20_000
			w.send(t, traffic)
			flows, next := map[string]bool{}, 0
			buf := make([]byte, 4096)
			for next < frames {
				n, err := raw.Receive(buf, time.Now().Add(patience))
				must(t, err)
				flow, ours := dissect(t, buf[:n], w)
				if !ours {
					continue
				}
				if sizes := traffic.withDefaults().Sizes; n != sizes[next%len(sizes)] {
					t.Fatalf("frame %d has %d bytes, sizes are %v", next, n, sizes)
				}
				flows[flow] = true
				next++
			}
			if traffic.InOrder || traffic.Fresh == 1 {
				if len(flows) != frames {
					t.Errorf("%d flows in %d frames", len(flows), frames)
				}
			} else if len(flows) > max(traffic.Flows, 1) || traffic.Flows > 10 && len(flows) < frames/2 {
				t.Errorf("%d flows in %d frames of %d flows", len(flows), frames, traffic.Flows)
			}
		})
	}
}

// dissect checks a frame and returns its flow; ours is false for what the
// hosts themselves send.
func dissect(t *testing.T, frame []byte, w *wire) (flow string, ours bool) {
	t.Helper()
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	transport := p.TransportLayer()
	if transport == nil || p.NetworkLayer() == nil {
		return "", false
	}
	if to := p.NetworkLayer().NetworkFlow().Dst().String(); to != four.String() && to != six.String() {
		return "", false
	}
	eth := p.LinkLayer().(*layers.Ethernet)
	if eth.DstMAC.String() != w.to.HardwareAddr.String() || eth.SrcMAC.String() != w.from.HardwareAddr.String() {
		t.Fatalf("MAC addresses %v", eth)
	}
	checksums(t, p, frame)
	return fmt.Sprint(p.NetworkLayer().NetworkFlow(), transport.TransportFlow()), true
}

// checksums serializes the packet again and compares.
func checksums(t *testing.T, p gopacket.Packet, frame []byte) {
	t.Helper()
	var list []gopacket.SerializableLayer
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.UDP:
			l.SetNetworkLayerForChecksum(p.NetworkLayer())
		case *layers.TCP:
			l.SetNetworkLayerForChecksum(p.NetworkLayer())
		}
		switch l := l.(type) {
		case *layers.Ethernet, *layers.IPv4, *layers.IPv6, *layers.UDP, *layers.TCP:
			list = append(list, l.(gopacket.SerializableLayer))
		}
	}
	list = append(list, gopacket.Payload(p.TransportLayer().LayerPayload()))
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...))
	if got := buf.Bytes(); string(got) != string(frame[:len(got)]) {
		t.Fatalf("frame\n%x\nshould be\n%x", frame, got)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestImpossibleTrafficIsRefused(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for name, traffic := range map[string]Traffic{
		"no destination":  {To: four},
		"no service":      {Destination: mac},
		"two families":    {Destination: mac, To: six, From: four},
		"a frame of 20":   {Destination: mac, To: four, Sizes: []int{20}},
		"a frame of 9000": {Destination: mac, To: four, Sizes: []int{9000}},
		"ports backwards": {Destination: mac, To: four, Ports: Range{9, 8}},
		"a share of two":  {Destination: mac, To: four, Fresh: 2},
		"a huge batch":    {Destination: mac, To: four, Batch: 1000},
	} {
		if _, err := NewGenerator(1, traffic); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestQuantilesAreRightToThreePercent(t *testing.T) {
	h := make(Histogram, 64*fine)
	for i := 1; i < 59*fine; i++ { // up to the largest duration
		if lower(i) <= lower(i-1) {
			t.Fatalf("bucket %d begins at %d, the one before at %d", i, lower(i), lower(i-1))
		}
	}
	for i := 1; i < 40*fine; i++ {
		if width := lower(i+1) - lower(i); i > fine && float64(width) > 0.032*float64(lower(i)) {
			t.Fatalf("bucket %d at %v is %v wide", i, lower(i), width)
		}
	}
	h[100], h[200] = 99, 1
	if h.Quantile(0.5) != lower(100) || h.Quantile(0.995) != lower(200) || h.Largest() != lower(200) {
		t.Errorf("%v %v %v", h.Quantile(0.5), h.Quantile(0.995), h.Largest())
	}
}
