package sockopt

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/service"
)

// fixed is a director with services that a double would refuse.
type fixed struct {
	double
	list []service.Status
}

func (f *fixed) Status(context.Context) ([]service.Status, error) { return f.list, nil }

// recorded is what a kernel had configured when testdata/ip_vs.txt was read
// from it.
func recorded() []service.Status {
	vip := func(p service.Protocol, port uint16, scheduler string) service.Status {
		return service.Status{Service: service.Service{Scheduler: scheduler,
			Key: service.Key{Protocol: p, Address: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.100"), port)}}}
	}
	rip := func(address string, m service.Method, weight int) service.ServerStatus {
		return service.ServerStatus{Server: service.Server{Address: netip.MustParseAddrPort(address), Method: m, Weight: weight}}
	}
	list := []service.Status{
		vip(service.SCTP, 132, "rr"), vip(service.TCP, 82, "rr"), vip(service.TCP, 80, "wrr"), vip(service.TCP, 87, "sh"), vip(service.TCP, 84, "rr"),
		vip(service.TCP, 85, "rr"), vip(service.TCP, 90, "rr"), vip(service.TCP, 89, "mh"), vip(service.UDP, 86, "rr"),
		{Service: service.Service{Key: service.Key{Protocol: service.TCP, Address: netip.MustParseAddrPort("[2001:db8:1::100]:80")}, Scheduler: "rr"},
			Servers: []service.ServerStatus{rip("[fd00:1::11]:8080", service.Masq, 1)}},
		{Service: service.Service{Key: service.Key{Mark: 5}, Scheduler: "rr"},
			Servers: []service.ServerStatus{rip("10.1.0.11:8080", service.Masq, 1), rip("10.1.0.11:0", service.Masq, 1)}},
	}
	list[1].Persistent = 6 * time.Minute
	list[2].Servers = []service.ServerStatus{
		rip("10.1.0.26:0", service.Masq, 1), rip("10.1.0.25:80", service.Masq, 1), rip("10.1.0.23:80", service.Masq, 1<<31-1),
		rip("10.1.0.22:80", service.Masq, 65535), rip("10.1.0.21:80", service.Masq, 65536), rip("203.0.113.2:80", service.Masq, 1),
		rip("10.1.0.14:80", service.Tunnel, 7), rip("10.1.0.13:80", service.Route, 1), rip("10.1.0.12:8081", service.Masq, 0),
		rip("10.1.0.11:80", service.Route, 1),
	}
	list[4].Persistent, list[4].Netmask = time.Minute, 24
	list[8].OnePacket = true
	return list
}

func contents(t *testing.T, name string, d admin.Director) string {
	var b bytes.Buffer
	if err := files[name](t.Context(), d, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRulesReadAsFromTheKernel(t *testing.T) {
	want, err := os.ReadFile("testdata/ip_vs.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := contents(t, "ip_vs", &fixed{list: recorded()}); got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestConnsAndStatsReadAsFromTheKernel(t *testing.T) {
	d := made(t)
	want := "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n" +
		"TCP CB007105 C001 C000020A 0050 0A00000B 1F90 ESTABLISHED     899\n" +
		"UDP 2001:0db8:0000:0000:0000:0000:0000:0005 0004 2001:0db8:0000:0000:0000:0000:0000:0001 0035 " +
		"fd00:0000:0000:0000:0000:0000:0000:0001 0035 UDP               1\n"
	if got := contents(t, "ip_vs_conn", d); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	want = "   Total Incoming Outgoing         Incoming         Outgoing\n" +
		"   Conns  Packets  Packets            Bytes            Bytes\n" +
		"       9        C        0      30000000000                0\n\n" +
		" Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n" +
		"       0        0        0                0                0\n"
	if got := contents(t, "ip_vs_stats", d); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOnlyFilesOfProcNetAreOurs(t *testing.T) {
	for path, want := range map[string]string{
		"/proc/net/ip_vs": "ip_vs", "/proc/net/ip_vs_conn": "ip_vs_conn", "/proc//net/./ip_vs_stats": "ip_vs_stats",
		"/proc/self/net/ip_vs": "ip_vs", "/proc/12/net/ip_vs": "ip_vs", "/proc/thread-self/net/ip_vs": "ip_vs",
		"/proc/12/task/13/net/ip_vs": "ip_vs", "/proc/self/../self/net/ip_vs": "ip_vs",
		"/proc/net/ip_vs_app": "", "/proc/net/": "", "/proc/net": "", "/ip_vs": "", "/tmp/ip_vs": "", "/proc/net/x/ip_vs": "",
		"/proc/sys/net/ip_vs": "", "/etc/proc/net/ip_vs": "", "": "",
	} {
		got, ours := fileOf(path)
		if ours != (want != "") || ours && got != want {
			t.Errorf("%q: %q, %v", path, got, ours)
		}
		if ours && !mayBeOurs(path) {
			t.Errorf("%q is ours and is not looked at", path)
		}
	}
	if !strings.HasPrefix(hex(netip.MustParseAddr("10.0.0.1")), "0A") {
		t.Error("addresses are in capitals")
	}
}

func TestNetmasksReadAsFromTheKernel(t *testing.T) {
	v4, v6 := recorded()[0].Service, recorded()[9].Service
	for _, c := range []struct {
		service service.Service
		mask    service.Netmask
		want    string
	}{
		{v4, 0, "FFFFFFFF"}, {v4, 24, "FFFFFF00"}, {v4, service.IPv4Mask(0), "00000000"}, {v4, service.IPv4Mask(0xff00ff01), "FF00FF01"},
		{v6, 0, "80000000"}, {v6, 64, "40000000"}, {v6, 127, "7F000000"}, // recorded by package oracle
	} {
		c.service.Persistent, c.service.Netmask = 90*time.Second, c.mask
		var b bytes.Buffer
		writeService(&b, &service.Status{Service: c.service})
		if !strings.HasSuffix(b.String(), " persistent 22500 "+c.want+"\n") {
			t.Errorf("%v: %s, want %s", c.mask, &b, c.want)
		}
	}
}
