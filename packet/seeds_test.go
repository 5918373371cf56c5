package packet

import (
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// seeds are valid frames of every kind: for the fuzz targets, and for tests
// that hold for any packet.
func seeds() [][]byte {
	var all [][]byte
	for _, kind := range []string{"IPv4 UDP", "IPv4 TCP", "IPv6 UDP", "IPv6 TCP", "IPv4 SCTP", "IPv6 SCTP"} {
		make := makers[kind]
		client, virtual, server := names(kind)
		all = append(all,
			make(client, virtual, 64, []byte("payload")),
			make(server, client, 64, nil))
	}
	all = append(all,
		build(64, udp4("198.51.100.7:1", "192.0.2.1:53", make([]byte, 600))...),
		build(64, ipv6Fragment(UDP, 1, 7, make([]byte, 64))...),
		build(64, ipv6Fragment(UDP, 0x40, 7, make([]byte, 60))...),
		build(64, withOptions(udp4("198.51.100.7:1", "192.0.2.1:53", []byte("x")), recordRoute)...),
		build(64, tagged(udp4("198.51.100.7:1", "192.0.2.1:53", []byte("x")), 10, 20)...),
	)
	for _, s := range []stack{
		udp4("198.51.100.7:40000", "10.0.0.11:8080", []byte("quoted")),
		tcp4("198.51.100.7:40000", "10.0.0.11:8080", ACK, []byte("quoted")),
		tcp6("[2001:db8::7]:40000", "[fd00::11]:8080", ACK, []byte("quoted")),
		sctp4("198.51.100.7:40000", "10.0.0.11:8080", ChunkInit, []byte("quoted")),
	} {
		quoted := build(63, s...)[ethLen:]
		if quoted[0]>>4 == 4 {
			all = append(all, icmp4("10.0.0.11", "198.51.100.7", 3, 3, quoted))
		} else {
			all = append(all, icmp6("fd00::11", "2001:db8::7", 1, 4, quoted))
		}
	}
	return all
}

var recordRoute = layers.IPv4Option{OptionType: 7, OptionLength: 11, OptionData: []byte{4, 0, 0, 0, 0, 0, 0, 0, 0}}

func withOptions(s stack, options ...layers.IPv4Option) stack {
	s[1].(*layers.IPv4).Options = options
	return s
}

func tagged(s stack, ids ...uint16) stack {
	eth := s[0].(*layers.Ethernet)
	inner := eth.EthernetType
	eth.EthernetType = layers.EthernetTypeDot1Q
	if len(ids) == 2 {
		eth.EthernetType = layers.EthernetTypeQinQ
	}
	out := stack{eth}
	for i, id := range ids {
		tag := &layers.Dot1Q{VLANIdentifier: id, Type: inner}
		if i < len(ids)-1 {
			tag.Type = layers.EthernetTypeDot1Q
		}
		out = append(out, tag)
	}
	return append(out, s[1:]...)
}

func icmp4(src, dst string, typ, code uint8, quoted []byte) []byte {
	ip := ipv4(netip.MustParseAddr(src), netip.MustParseAddr(dst), layers.IPProtocolICMPv4)
	icmp := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Seq: 1300}
	return build(64, ethernet(layers.EthernetTypeIPv4), ip, icmp, gopacket.Payload(quoted))
}

func icmp6(src, dst string, typ, code uint8, quoted []byte) []byte {
	ip := ipv6(netip.MustParseAddr(src), netip.MustParseAddr(dst), layers.IPProtocolICMPv6)
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		panic(err)
	}
	rest := append([]byte{0, 0, 5, 0}, quoted...) // MTU 1280
	return build(64, ethernet(layers.EthernetTypeIPv6), ip, icmp, gopacket.Payload(rest))
}
