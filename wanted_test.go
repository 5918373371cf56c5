package lvx

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/lvx-lb/lvx/conntrack"
	"github.com/lvx-lb/lvx/dataplane"
	"github.com/lvx-lb/lvx/nic"
	"github.com/lvx-lb/lvx/packet"
	"github.com/lvx-lb/lvx/service"
)

// onLink is a network in which everybody is a neighbour.
type onLink struct{}

func (onLink) Next(dst, _ packet.Addr, _ dataplane.LinkID, _ uint32) (dataplane.Next, bool) {
	return dataplane.Next{Via: dst, MTU: 1500}, true
}

// calling is a SYN for to.
func calling(t *testing.T, from, to string) []byte {
	src, dst := netip.MustParseAddrPort(from), netip.MustParseAddrPort(to)
	ether := &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), SYN: true}
	var ip gopacket.SerializableLayer = &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
	if src.Addr().Is6() {
		ether.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: false}, ether, ip, tcp); err != nil {
		t.Fatal(err)
	}
	frame := b.Bytes()
	if src.Addr().Is4() {
		frame[24], frame[25] = 0, 0
		c := packet.Checksum(frame[14:34], 0)
		frame[24], frame[25] = byte(c>>8), byte(c)
	}
	return frame
}

// Without narrow-ftp all TCP to the VIP of a persistent service of FTP is
// steered, and all that its servers send.
func TestAServiceOfFTPIsSteeredAsWideAsItIs(t *testing.T) {
	for name, c := range map[string]struct {
		deviations     service.Deviations
		service, reply []string
	}{
		"narrow": {service.NarrowFTP, []string{"192.0.2.1:21"}, []string{"10.0.0.1:2121"}},
		"wide":   {0, []string{"192.0.2.1:21", "192.0.2.1:0"}, []string{"10.0.0.1:0"}},
	} {
		roster, err := dataplane.NewRoster([]dataplane.Link{{Name: "lan"}})
		if err != nil {
			t.Fatal(err)
		}
		roster.Deviate(c.deviations)
		links := &links{list: make([]linkFacts, 1)}
		d := &Director{set: service.NewSet(dataplane.Features), roster: roster, links: links, keys: newKeys(nil, links)}
		d.wanted = newWanted(d.keys, &d.marking, roster)
		edit := func(op service.Op, persistent time.Duration, services, replies []string) {
			t.Helper()
			virtual := service.Key{Protocol: service.TCP, Address: netip.MustParseAddrPort("192.0.2.1:21")}
			e := service.Edit{Op: op, Service: service.Service{Key: virtual, Scheduler: "rr", Persistent: persistent}}
			if op == service.AddServer {
				e.Server = service.Server{Address: netip.MustParseAddrPort("10.0.0.1:2121"), Weight: 1}
			}
			if err := errors.Join(d.set.Apply(e), roster.Apply(d.set)); err != nil {
				t.Fatal(err)
			}
			for _, s := range roster.Servers() {
				s.SetLinks(1)
			}
			changes := d.wanted.follow(d.set)
			roster.Publish()
			d.wanted.look(changes)
			for _, x := range []struct {
				got  map[key]int
				want []string
			}{{d.keys.service.wanted, services}, {d.keys.reply.wanted, replies}} {
				var got []string
				for k := range x.got {
					got = append(got, k.at.String())
				}
				if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(x.want))) {
					t.Errorf("%s, %v: steering wants %v, want %v", name, op, got, x.want)
				}
			}
		}
		own := c.service[:1]
		edit(service.AddService, 0, own, nil)
		edit(service.AddServer, 0, own, []string{"10.0.0.1:2121"})
		edit(service.EditService, time.Minute, c.service, c.reply)
		edit(service.EditService, 0, c.service, c.reply) // for its connections
		edit(service.DeleteService, 0, nil, nil)
	}
}

// A deleted service is steered for its connections. When it was the last of
// its family, IPVS does not look at that family's packets any more.
func TestTheLastServiceOfAFamilyIsSteeredNoLonger(t *testing.T) {
	roster, err := dataplane.NewRoster([]dataplane.Link{{Name: "lan"}})
	if err != nil {
		t.Fatal(err)
	}
	table, err := conntrack.New(conntrack.Config{Capacity: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	pool := nic.NewPool(64, 4096)
	lan := nic.NewMemory(pool, nic.Rings{})
	setup := dataplane.Setup{Pool: pool, Fill: 16, Table: table, Hops: dataplane.NewHops(), Routes: onLink{}, NICs: []dataplane.Queues{{lan}}}
	for c := range pool.Chunks() {
		setup.Chunks = append(setup.Chunks, uint64(c)*uint64(pool.Chunk))
	}
	worker, err := dataplane.NewWorker(setup)
	if err != nil {
		t.Fatal(err)
	}
	links := &links{list: make([]linkFacts, 1)}
	d := &Director{set: &service.Set{}, roster: roster, links: links, keys: newKeys(nil, links)}
	d.wanted = newWanted(d.keys, &d.marking, roster)
	edit := func(op service.Op, virtual, real string) {
		e := service.Edit{Op: op}
		e.Service = service.Service{Key: service.Key{Protocol: service.TCP, Address: netip.MustParseAddrPort(virtual)}, Scheduler: "rr"}
		if real != "" {
			e.Server = service.Server{Address: netip.MustParseAddrPort(real), Weight: 1}
		}
		if err := d.set.Apply(e); err != nil {
			t.Fatal(err)
		}
		if err := roster.Apply(d.set); err != nil {
			t.Fatal(err)
		}
		for _, s := range roster.Servers() {
			s.SetLinks(1)
		}
		changes := d.wanted.follow(d.set)
		worker.Adopt(roster.Config(), make([]dataplane.Stat, roster.Slots()))
		roster.Publish()
		d.wanted.look(changes)
		worker.Round(dataplane.Second)
	}
	keys := func(want int) {
		t.Helper()
		if services, replies := d.keys.service.wanted, d.keys.reply.wanted; len(services) != want || len(replies) != want {
			t.Errorf("steering wants %v and %v, want %d of each", services, replies, want)
		}
	}
	const four, other, six = "192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"
	for _, x := range [][3]string{{four, "10.0.0.1:80", "198.51.100.7:1"}, {other, "10.0.0.2:80", "198.51.100.7:2"}, {six, "[fd00::1]:80", "[2001:db8::7]:3"}} {
		edit(service.AddService, x[0], "")
		edit(service.AddServer, x[0], x[1])
		lan.Inject(calling(t, x[2], x[0]))
		worker.Round(dataplane.Second)
	}
	if table.Len() != 3 {
		t.Fatalf("%d connections", table.Len())
	}
	keys(3)
	edit(service.DeleteService, four, "")
	keys(3)
	edit(service.DeleteService, six, "")
	keys(2)
	edit(service.DeleteService, other, "")
	keys(0)
}
