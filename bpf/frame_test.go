package bpf

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// frame is the Ethernet header of a test frame; its methods add packets,
// which gopacket builds.
type frame struct {
	dst  MAC
	tags []uint16
	qinq bool // the outer tag has type 0x88a8
}

// ethernet puts the header in front of a packet.
func (f frame) ethernet(packet []byte) []byte {
	kind := layers.EthernetTypeIPv4
	if packet[0]>>4 == 6 {
		kind = layers.EthernetTypeIPv6
	}
	var all []gopacket.SerializableLayer
	for i := len(f.tags) - 1; i >= 0; i-- {
		all = append(all, &layers.Dot1Q{VLANIdentifier: f.tags[i], Type: kind, Priority: 5})
		kind = layers.EthernetTypeDot1Q
		if i == 0 && f.qinq {
			kind = layers.EthernetTypeQinQ
		}
	}
	all = append(all, &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, DstMAC: f.dst[:], EthernetType: kind})
	slices.Reverse(all)
	return serialize(append(all, gopacket.Payload(packet))...)
}

func (f frame) udp(src, dst string, sport, dport uint16, body []byte) []byte {
	u := &layers.UDP{SrcPort: layers.UDPPort(sport), DstPort: layers.UDPPort(dport)}
	ip := network(src, dst, layers.IPProtocolUDP)
	if err := u.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)); err != nil {
		panic(err)
	}
	return f.ethernet(serialize(ip, u, gopacket.Payload(body)))
}

// network is an IP header of the family of src.
func network(src, dst string, proto layers.IPProtocol) gopacket.SerializableLayer {
	s, d := netip.MustParseAddr(src).AsSlice(), netip.MustParseAddr(dst).AsSlice()
	if len(s) == 4 {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: s, DstIP: d}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: s, DstIP: d}
}

func serialize(all ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...)
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// ports is a transport header as far as steering reads it, and some more.
func ports(src, dst uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, src)
	return append(binary.BigEndian.AppendUint16(b, dst), make([]byte, 16)...)
}

// packet is an IP packet of protocol proto from src to dst, each an address
// and port.
func packet(proto layers.IPProtocol, src, dst string) []byte {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	return serialize(network(s.Addr().String(), d.Addr().String(), proto), gopacket.Payload(ports(s.Port(), d.Port())))
}

func tcp(src, dst string) []byte { return packet(layers.IPProtocolTCP, src, dst) }
func udp(src, dst string) []byte { return packet(layers.IPProtocolUDP, src, dst) }

// withOptions adds 8 bytes of options to an IPv4 packet.
func withOptions(p []byte) []byte {
	p = slices.Insert(p, 20, 1, 1, 1, 1, 1, 1, 1, 0)
	p[0] = 0x47
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	return p
}

// withExtensions puts extension headers of the given types, each 8 or 16
// bytes long, behind the header of an IPv6 packet.
func withExtensions(p []byte, types ...byte) []byte {
	for i, t := range slices.Backward(types) {
		x := make([]byte, 8+i%2*8)
		x[0], x[1] = p[6], byte(i%2)
		if t == 44 { // a fragment header: offset 0, more to come
			x = []byte{p[6], 0, 0, 1, 0, 0, 0, 5}
		}
		p = slices.Insert(p, 40, x...)
		p[6] = t
	}
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	return p
}

// withOffset makes an IPv4 packet a fragment: offset in 8 bytes, and flags.
func withOffset(p []byte, field uint16) []byte {
	binary.BigEndian.PutUint16(p[6:], field)
	return p
}

// icmp is an ICMP or ICMPv6 message whose body, if any, follows its first 8
// bytes.
func icmp(src, dst string, typ byte, body []byte) []byte {
	proto := layers.IPProtocolICMPv4
	if netip.MustParseAddr(src).Is6() {
		proto = layers.IPProtocolICMPv6
	}
	return serialize(network(src, dst, proto), gopacket.Payload(append([]byte{typ, 1, 0, 0, 0, 0, 0, 0}, body...)))
}
