package packet

import (
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Frames for the tests, built by gopacket and not by our own code.

func addr(s string) Addr    { return AddrFrom(netip.MustParseAddr(s)) }
func end(s string) Endpoint { return EndpointFrom(netip.MustParseAddrPort(s)) }

type stack []gopacket.SerializableLayer

// build serializes the layers with all lengths and checksums, ttl in the
// first IP header.
func build(ttl uint8, all ...gopacket.SerializableLayer) []byte {
	for _, l := range all {
		if ip, ok := l.(*layers.IPv4); ok {
			ip.TTL = ttl
			break
		}
		if ip, ok := l.(*layers.IPv6); ok {
			ip.HopLimit = ttl
			break
		}
	}
	buf := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	// gopacket would pad the frame to 60 bytes, so it does not see the first layer.
	if err := gopacket.SerializeLayers(buf, options, all[1:]...); err != nil {
		panic(err)
	}
	eth := all[0].(*layers.Ethernet)
	frame := append(append([]byte{}, eth.DstMAC...), eth.SrcMAC...)
	frame = append(frame, byte(eth.EthernetType>>8), byte(eth.EthernetType))
	return append(frame, buf.Bytes()...)
}

func ethernet(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{
		DstMAC:       net.HardwareAddr{2, 0, 0, 0, 0, 1},
		SrcMAC:       net.HardwareAddr{2, 0, 0, 0, 0, 2},
		EthernetType: t,
	}
}

func ipv4(src, dst netip.Addr, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, TTL: 64, Id: 0x1234, Protocol: proto,
		SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
	}
}

func ipv6(src, dst netip.Addr, proto layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: proto,
		SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
	}
}

func udp4(src, dst string, payload []byte) stack {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	ip := ipv4(s.Addr(), d.Addr(), layers.IPProtocolUDP)
	return stack{ethernet(layers.EthernetTypeIPv4), ip, udp(s, d, ip), gopacket.Payload(payload)}
}

func udp6(src, dst string, payload []byte) stack {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	ip := ipv6(s.Addr(), d.Addr(), layers.IPProtocolUDP)
	return stack{ethernet(layers.EthernetTypeIPv6), ip, udp(s, d, ip), gopacket.Payload(payload)}
}

func tcp4(src, dst string, flags uint8, payload []byte) stack {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	ip := ipv4(s.Addr(), d.Addr(), layers.IPProtocolTCP)
	return stack{ethernet(layers.EthernetTypeIPv4), ip, tcp(s, d, flags, ip), gopacket.Payload(payload)}
}

func tcp6(src, dst string, flags uint8, payload []byte) stack {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	ip := ipv6(s.Addr(), d.Addr(), layers.IPProtocolTCP)
	return stack{ethernet(layers.EthernetTypeIPv6), ip, tcp(s, d, flags, ip), gopacket.Payload(payload)}
}

// sctp4 carries a chunk of the given type.
func sctp4(src, dst string, chunk uint8, payload []byte) stack {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	ip := ipv4(s.Addr(), d.Addr(), layers.IPProtocolSCTP)
	return append(stack{ethernet(layers.EthernetTypeIPv4), ip}, sctp(s, d, chunk, payload)...)
}

func sctp6(src, dst string, chunk uint8, payload []byte) stack {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	ip := ipv6(s.Addr(), d.Addr(), layers.IPProtocolSCTP)
	return append(stack{ethernet(layers.EthernetTypeIPv6), ip}, sctp(s, d, chunk, payload)...)
}

func sctp(s, d netip.AddrPort, chunk uint8, payload []byte) stack {
	n := 4 + len(payload)
	return stack{
		&layers.SCTP{SrcPort: layers.SCTPPort(s.Port()), DstPort: layers.SCTPPort(d.Port()), VerificationTag: 0xfeedbeef},
		gopacket.Payload(append([]byte{chunk, 0, byte(n >> 8), byte(n)}, payload...)),
	}
}

func udp(s, d netip.AddrPort, ip gopacket.NetworkLayer) *layers.UDP {
	u := &layers.UDP{SrcPort: layers.UDPPort(s.Port()), DstPort: layers.UDPPort(d.Port())}
	if err := u.SetNetworkLayerForChecksum(ip); err != nil {
		panic(err)
	}
	return u
}

func tcp(s, d netip.AddrPort, flags uint8, ip gopacket.NetworkLayer) *layers.TCP {
	t := &layers.TCP{
		SrcPort: layers.TCPPort(s.Port()), DstPort: layers.TCPPort(d.Port()),
		Seq: 1000, Ack: 2000, Window: 64240,
		FIN: flags&FIN != 0, SYN: flags&SYN != 0, RST: flags&RST != 0,
		PSH: flags&PSH != 0, ACK: flags&ACK != 0, URG: flags&URG != 0,
	}
	if err := t.SetNetworkLayerForChecksum(ip); err != nil {
		panic(err)
	}
	return t
}
