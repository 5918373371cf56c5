package rig

import (
	"net/netip"
	"os"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/lvx-lb/lvx/internal/netlab"
)

func TestFloodsHaveRightChecksums(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n, err := netlab.TwoNIC()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	r := &Rig{Net: n, T: t}
	syn := Segment{Src: netip.MustParseAddrPort("198.18.255.250:1"), Dst: netip.MustParseAddrPort("172.25.8.110:80"), TCP: "S", Seq: 7}
	part := syn
	part.TCP, part.MoreFragments, part.Payload = "", true, "12345678"
	spoofed, fragments := r.Vary(syn, 1000), r.VaryID(part)
	for i := range 5000 {
		for _, frame := range [][]byte{spoofed(i), fragments(i)} {
			p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
			if p.ErrorLayer() != nil && p.Layer(layers.LayerTypeIPv4) == nil {
				t.Fatal(p.ErrorLayer().Error())
			}
			if sum := total(frame[14:34]); sum != 0xffff {
				t.Fatalf("frame %d: IP header sums up to %#x", i, sum)
			}
		}
		frame := spoofed(i)
		pseudo := append([]byte{0, 6, 0, 20}, frame[26:34]...)
		if sum := total(append(pseudo, frame[34:54]...)); sum != 0xffff {
			t.Fatalf("frame %d: TCP segment sums up to %#x", i, sum)
		}
	}
}

// total is the Internet checksum's sum, written as plainly as possible.
func total(b []byte) uint32 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}
