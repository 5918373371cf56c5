package rig

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/lvx-lb/lvx/internal/netlab"
)

// Flood is frames that somebody sends at a steady rate past his own IP stack.
type Flood struct {
	stop chan struct{}
	done sync.WaitGroup
	sent int
	err  error
}

// most is how many frames a flood sends at most.
const most = 1 << 20

// Flood sends frames from a NIC of a host; next returns the frame of each
// number, which it may build in place of the one before. What others have kept
// it from sending it does not send later, all at once.
func (r *Rig) Flood(host *netlab.Host, nic string, rate int, next func(i int) []byte) *Flood {
	r.T.Helper()
	raw, err := host.Raw(nic)
	r.Must(err)
	f := &Flood{stop: make(chan struct{})}
	f.done.Go(func() {
		defer raw.Close()
		const arrears = 20 * time.Millisecond
		last, owed := time.Now(), time.Duration(0)
		for frame := time.Second / time.Duration(rate); f.sent < most; {
			select {
			case <-f.stop:
				return
			case <-time.After(time.Millisecond):
			}
			owed, last = min(owed+time.Since(last), arrears), time.Now()
			for ; owed >= frame; owed -= frame {
				if f.err = raw.Send(next(f.sent)); f.err != nil {
					return
				}
				f.sent++
			}
		}
	})
	return f
}

// Stop ends the flood and returns how many frames were sent.
func (f *Flood) Stop() (int, error) {
	close(f.stop)
	f.done.Wait()
	return f.sent, f.err
}

// Segment is the addresses and the kind of a TCP or UDP packet on the
// network between client and director.
type Segment struct {
	Src, Dst      netip.AddrPort
	TCP           string // flags as in "SA"; empty = UDP
	Seq, Ack      uint32
	Payload       string
	MoreFragments bool             // IPv4: the first fragment of a datagram
	ID            uint16           // IPv4
	MAC           net.HardwareAddr // destination; nil = the director's
}

// Frame builds the frame of a segment that the client sends.
func (r *Rig) Frame(s Segment) []byte {
	r.T.Helper()
	from, err := r.Client.NIC("eth0")
	r.Must(err)
	to, err := r.Director.NIC(r.Public)
	r.Must(err)
	if s.MAC == nil {
		s.MAC = to.HardwareAddr
	}
	eth := &layers.Ethernet{SrcMAC: from.HardwareAddr, DstMAC: s.MAC, EthernetType: layers.EthernetTypeIPv4}
	protocol := layers.IPProtocolUDP
	if s.TCP != "" {
		protocol = layers.IPProtocolTCP
	}
	var ip gopacket.NetworkLayer
	if s.Src.Addr().Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: s.Src.Addr().AsSlice(), DstIP: s.Dst.Addr().AsSlice()}
	} else {
		ip4 := &layers.IPv4{Version: 4, TTL: 64, Id: s.ID, Protocol: protocol, SrcIP: s.Src.Addr().AsSlice(), DstIP: s.Dst.Addr().AsSlice()}
		if s.MoreFragments {
			ip4.Flags = layers.IPv4MoreFragments
		}
		ip = ip4
	}
	buf := gopacket.NewSerializeBuffer()
	r.Must(gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		eth, ip.(gopacket.SerializableLayer), s.transport(ip), gopacket.Payload(s.Payload)))
	return buf.Bytes()
}

func (s Segment) transport(ip gopacket.NetworkLayer) gopacket.SerializableLayer {
	if s.TCP == "" {
		udp := &layers.UDP{SrcPort: layers.UDPPort(s.Src.Port()), DstPort: layers.UDPPort(s.Dst.Port())}
		udp.SetNetworkLayerForChecksum(ip)
		return udp
	}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(s.Src.Port()), DstPort: layers.TCPPort(s.Dst.Port()), Seq: s.Seq, Ack: s.Ack, Window: 65535}
	for _, flag := range s.TCP {
		switch flag {
		case 'S':
			tcp.SYN = true
		case 'A':
			tcp.ACK = true
		case 'P':
			tcp.PSH = true
		case 'F':
			tcp.FIN = true
		case 'R':
			tcp.RST = true
		}
	}
	tcp.SetNetworkLayerForChecksum(ip)
	return tcp
}

// Offsets in an IPv4 frame without options or tags.
const (
	ipID        = 14 + 4
	ipHeaderSum = 14 + 10
	ipSource    = 14 + 12
	tcpPort     = 14 + 20
	tcpSum      = 14 + 20 + 16
)

// Vary returns the frame of each number of a flood: the IPv4 TCP frame of s
// with the source address counting up and the port changing, checksums right.
// The addresses repeat after `sources`.
func (r *Rig) Vary(s Segment, sources uint32) func(i int) []byte {
	frame := r.Frame(s)
	first := binary.BigEndian.Uint32(frame[ipSource:])
	return func(i int) []byte {
		put(frame, ipSource, tcpSum, first+uint32(i)%sources)
		port := uint16(1024 + i%60000)
		old := binary.BigEndian.Uint16(frame[tcpPort:])
		binary.BigEndian.PutUint16(frame[tcpPort:], port)
		fix(frame, tcpSum, old, port)
		return frame
	}
}

// VaryID returns the frame of each number of a flood: the frame of s, an IPv4
// fragment, with another identification each.
func (r *Rig) VaryID(s Segment) func(i int) []byte {
	frame := r.Frame(s)
	return func(i int) []byte {
		old := binary.BigEndian.Uint16(frame[ipID:])
		binary.BigEndian.PutUint16(frame[ipID:], uint16(i))
		fix(frame, ipHeaderSum, old, uint16(i))
		return frame
	}
}

// put changes the IPv4 source address and both checksums that cover it.
func put(frame []byte, at, sum int, address uint32) {
	old := binary.BigEndian.Uint32(frame[at:])
	binary.BigEndian.PutUint32(frame[at:], address)
	for _, where := range []int{ipHeaderSum, sum} {
		fix(frame, where, uint16(old>>16), uint16(address>>16))
		fix(frame, where, uint16(old), uint16(address))
	}
}

// fix corrects a checksum for one changed number (RFC 1624 equation 3).
func fix(frame []byte, at int, old, new uint16) {
	sum := uint32(^binary.BigEndian.Uint16(frame[at:])) + uint32(^old) + uint32(new)
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	binary.BigEndian.PutUint16(frame[at:], ^uint16(sum))
}
