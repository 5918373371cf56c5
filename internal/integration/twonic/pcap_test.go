package twonic

import (
	"os"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// captured is one IPv4 UDP datagram of a capture.
type captured struct{ src, dst, text string }

// pcap reads the datagrams that a growing capture file holds by now.
func pcap(path string) []captured {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		return nil
	}
	var list []captured
	for {
		data, _, err := r.ReadPacketData()
		if err != nil {
			return list
		}
		p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		ip, isIP := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		udp, isUDP := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if isIP && isUDP {
			list = append(list, captured{ip.SrcIP.String(), ip.DstIP.String(), string(udp.Payload)})
		}
	}
}
