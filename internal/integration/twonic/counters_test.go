package twonic

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

func TestCountersAgreeWithThoseOutside(t *testing.T) {
	const datagrams = 2000
	r := rig.New(t, netlab.TwoNIC)
	r.Echo("7")
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-u", "7000", "rr", "7")...)
	received := func(hosts ...*netlab.Host) (sum uint64) {
		for _, host := range hosts {
			n, err := host.Snmp("Udp", "InDatagrams")
			r.Must(err)
			sum += n
		}
		return sum
	}
	servers, client := received(r.Servers...), received(r.Client)
	c, err := r.Client.Dial(t.Context(), "udp", net.JoinHostPort(f.VIP, "7000"))
	r.Must(err)
	defer c.Close()
	buf := make([]byte, 100)
	for range datagrams {
		c.SetDeadline(time.Now().Add(rig.Patience))
		_, err := io.WriteString(c, "0123456789")
		r.Must(err)
		_, err = c.Read(buf)
		r.Must(err)
	}
	if n := received(r.Servers...) - servers; n != datagrams {
		t.Errorf("the servers received %d of %d datagrams", n, datagrams)
	}
	if n := received(r.Client) - client; n != datagrams {
		t.Errorf("the client received %d of %d answers", n, datagrams)
	}
	// 28 bytes of headers, and the answers begin with "server1 ".
	want := strings.Fields(fmt.Sprintf("UDP %s:7000 1 %d %d %d %d", f.VIP, datagrams, datagrams, datagrams*38, datagrams*46))
	r.Until("the director has counted the same", func() bool {
		return slices.ContainsFunc(strings.Split(r.Adm("-ln --stats --exact"), "\n"), func(line string) bool {
			return slices.Equal(strings.Fields(line), want)
		})
	})
	r.Adm("-Z")
	want = strings.Fields("UDP " + f.VIP + ":7000 0 0 0 0 0")
	r.Until("the counters are zero", func() bool {
		return slices.ContainsFunc(strings.Split(r.Adm("-ln --stats --exact"), "\n"), func(line string) bool {
			return slices.Equal(strings.Fields(line), want)
		})
	})
}

func TestACaptureHoldsBothSides(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Echo("7")
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-u", "7000", "rr", "7")...)
	path := t.TempDir() + "/capture.pcap"
	capture := r.Start("capture", "-w", path)
	sides := map[string]bool{}
	r.Until("the capture holds the datagram four times", func() bool {
		echo(r, net.JoinHostPort(f.VIP, "7000"), "look at me")
		for _, packet := range pcap(path) {
			if packet.text == "look at me" || strings.HasSuffix(packet.text, " look at me") {
				sides[packet.src+" "+packet.dst] = true
			}
		}
		return sides[f.CIP+" "+f.VIP] && sides[f.VIP+" "+f.CIP] &&
			sides[f.CIP+" "+f.RIPs[1]] && sides[f.RIPs[1]+" "+f.CIP]
	})
	if err := capture.Stop(); err != nil {
		t.Errorf("capture: %v", err)
	}
}
