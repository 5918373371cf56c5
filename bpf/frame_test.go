package bpf

import (
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
