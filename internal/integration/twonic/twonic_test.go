// Package twonic tests a director between two networks, as in the classic
// LVS-NAT setup.
package twonic

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

func TestMain(m *testing.M) { rig.Main(m) }

// answers asks for the page n times and returns who answered.
func answers(r *rig.Rig, url string, n int) []string {
	var who []string
	for range n {
		server, _, _ := strings.Cut(r.Curl(r.Client, url), " ")
		who = append(who, server)
	}
	return who
}

func TestRoundRobinAlternatesNewestServerFirst(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		r.Rules(f.Services("-t", "80", "rr", "8080")...)
		want := slices.Repeat([]string{"server2", "server1"}, 10)
		if got := answers(r, url(f.VIP, "80"), 20); !slices.Equal(got, want) {
			r.T.Errorf("answers: %v", got)
		}
	})
	r.Stop()
}

func url(host, port string) string { return "http://" + net.JoinHostPort(host, port) + "/" }

func TestTheServerSeesTheClient(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		r.Rules(f.Services("-t", "80", "rr", "8080")...)
		_, seen, _ := strings.Cut(r.Curl(r.Client, url(f.VIP, "80")), " ")
		if seen != f.CIP {
			r.T.Errorf("server sees %s, the client is %s", seen, f.CIP)
		}
	})
}

func TestWeightedRoundRobinIsExact(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		r.Rules(f.Services("-t", "80", "wrr", "8080", "-w 3", "-w 1")...)
		counts := map[string]int{}
		for _, server := range answers(r, url(f.VIP, "80"), 16) {
			counts[server]++
		}
		if counts["server1"] != 12 || counts["server2"] != 4 {
			r.T.Errorf("16 answers with weights 3 and 1: %v", counts)
		}
	})
}

func TestDatagramsAreAnsweredByTheVIP(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Echo("7")
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		r.Rules(f.Services("-u", "7000", "rr", "7")...)
		var who []string
		for i := range 6 {
			// A connected socket hears only the address it called.
			for _, size := range []int{1, 1400} {
				said := echo(r, net.JoinHostPort(f.VIP, "7000"), strings.Repeat(fmt.Sprint(i), size))
				server, rest, _ := strings.Cut(said, " ")
				if rest != strings.Repeat(fmt.Sprint(i), size) {
					r.T.Fatalf("echo of %d bytes: %.40q", size, said)
				}
				who = append(who, server)
			}
		}
		if want := slices.Repeat([]string{"server2", "server1"}, 6); !slices.Equal(who, want) {
			r.T.Errorf("answers: %v", who)
		}
	})
}

// echo sends a datagram from a new socket of the client and returns the
// answer. The socket stays open, so that no other gets its port, and with it its
// connection.
func echo(r *rig.Rig, address, text string) string {
	r.T.Helper()
	c, err := r.Client.Dial(r.T.Context(), "udp", address)
	r.Must(err)
	r.T.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(rig.Patience))
	_, err = io.WriteString(c, text)
	r.Must(err)
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	r.Must(err)
	return string(buf[:n])
}

func TestLargeDatagramsPassInFragments(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Echo("7")
	r.Direct()
	r.Families(func(r *rig.Rig, f rig.Family) {
		r.Rules(f.Services("-u", "7000", "rr", "7")...)
		for _, size := range []int{1473, 4000, 20000} {
			text := strings.Repeat("x", size)
			if _, rest, _ := strings.Cut(echo(r, net.JoinHostPort(f.VIP, "7000"), text), " "); rest != text {
				r.T.Errorf("%d bytes come back as %d", size, len(rest))
			}
		}
	})
}

// Frames arrive on both queues, and each queue has its socket: with one worker
// for all of them, and with two that hand over what is not theirs.
func TestEveryQueueOfANICIsServed(t *testing.T) {
	for _, workers := range []string{"1", "2"} {
		t.Run(workers+" workers", func(t *testing.T) {
			r := rig.New(t, netlab.TwoNIC)
			twoQueues(r)
			r.Nginx(t.TempDir(), "8080")
			r.Echo("7")
			r.Direct("--workers", workers)
			f := r.V4()
			r.Rules(f.Services("-t", "80", "rr", "8080")...)
			r.Rules(f.Services("-u", "7000", "rr", "7")...)
			res := r.Storm(clients(r, 4), 500, 500, r.VIP+":80")
			if failed := res.Failed(); failed != "" || res.Sent != 2000 {
				t.Errorf("%d requests made: %s", res.Sent, failed)
			}
			for range 10 {
				text := strings.Repeat("x", 4000)
				if _, rest, _ := strings.Cut(echo(r, net.JoinHostPort(f.VIP, "7000"), text), " "); rest != text {
					t.Errorf("4000 bytes come back as %d", len(rest))
				}
			}
			queues := r.Run(r.Director, "ethtool", "-S", "pub0")
			for _, queue := range []string{"rx_queue_0_xdp_packets: 0\n", "rx_queue_1_xdp_packets: 0\n"} {
				if strings.Contains(queues, queue) {
					t.Errorf("one queue received nothing, so this shows nothing:\n%s", queues)
				}
			}
			info := r.Info()
			if workers == "2" && !strings.Contains(info, " handed ") {
				t.Errorf("nothing was handed over, so this shows nothing:\n%s", info)
			}
			// A veth cannot place packets by the client.
			if says := strings.Contains(info, "2 workers, frames come to their owner by hand-over"); says != (workers == "2") {
				t.Errorf("how frames come to two workers:\n%s", info)
			}
		})
	}
}

func twoQueues(r *rig.Rig) {
	for _, end := range []struct {
		host *netlab.Host
		nic  string
	}{{r.Director, "pub0"}, {r.Director, "priv0"}, {r.Client, "eth0"}, {r.Switch, "director"}} {
		r.Run(end.host, "ethtool", "-L", end.nic, "rx", "2", "tx", "2")
	}
}

func TestListingNamesHostsFromEtcHosts(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Director.Files["/etc/hosts"] = r.VIP + " www.example.test www\n" + r.RIPs[0] + " web1.example.test web1\n"
	r.Direct()
	r.Rules(r.V4().Services("-t", "80", "rr", "8080")...)
	list := r.Adm("-l")
	for _, want := range []string{"TCP  www.example.test:http rr", "-> web1.example.test:http-alt"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}
}

func TestListingCountsConnections(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	r.Hold(r.Client, 6, net.JoinHostPort(f.VIP, "80"))
	for _, rip := range f.RIPs {
		awaitRow(r, "-ln", "-> "+rip+":8080 Masq 1 3 0")
	}
	if n := strings.Count(r.Adm("-lnc"), "ESTABLISHED"); n != 6 {
		t.Errorf("%d of 6 connections are listed as established", n)
	}
}

func TestSavedRulesAreRestored(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Direct()
	for _, f := range []rig.Family{r.V4(), r.V6()} {
		r.Rules(f.Services("-t", "80", "wrr", "8080", "-w 3", "-w 1")...)
	}
	saved := r.Adm("-S -n")
	if strings.Count(saved, "\n") != 6 {
		t.Fatalf("saved:\n%s", saved)
	}
	r.Adm("-C")
	if left := r.Adm("-S -n"); left != "" {
		t.Fatalf("after -C:\n%s", left)
	}
	r.Rules(strings.TrimSpace(saved))
	if again := r.Adm("-S -n"); again != saved {
		t.Errorf("saved:\n%srestored:\n%s", saved, again)
	}
}

func TestOwnVIPsAreAddedAnnouncedAndRemoved(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Must(
		r.Director.RemoveAddress("pub0", r.VIP+"/32"),
		r.Director.RemoveAddress("pub0", r.VIP6+"/128"))
	r.Nginx(t.TempDir(), "8080")
	r.Direct("--add-vips")
	raw, err := r.Client.Raw("eth0")
	r.Must(err)
	defer raw.Close()
	for _, f := range []rig.Family{r.V4(), r.V6()} {
		r.Rules(f.Services("-t", "80", "rr", "8080")...)
		vip := netip.MustParseAddr(f.VIP)
		seen(r, raw, func(frame []byte) bool { return announces(frame, vip) }, func([]byte) bool { return false })
		answers(r, url(f.VIP, "80"), 2)
	}
	has := func() string { return r.Run(r.Director, "ip", "-o", "address", "show", "dev", "pub0") }
	if list := has(); !strings.Contains(list, r.VIP+"/32") || !strings.Contains(list, r.VIP6+"/128") {
		t.Errorf("addresses while it runs:\n%s", list)
	}
	r.Stop()
	if list := has(); strings.Contains(list, r.VIP) || strings.Contains(list, r.VIP6) || !strings.Contains(list, r.Gateway) {
		t.Errorf("addresses after it stopped:\n%s", list)
	}
}

// announces reports whether a frame to everybody tells where an address is:
// ARP, or a neighbour advertisement that nobody asked for.
func announces(frame []byte, a netip.Addr) bool {
	switch {
	case len(frame) < 42 || frame[0]&1 == 0:
		return false
	case a.Is4():
		return bytes.Equal(frame[12:14], []byte{8, 6}) && bytes.Equal(frame[28:32], a.AsSlice()) && bytes.Equal(frame[38:42], a.AsSlice())
	}
	return len(frame) >= 78 && bytes.Equal(frame[12:14], []byte{0x86, 0xdd}) && frame[20] == 58 && frame[54] == 136 && bytes.Equal(frame[62:78], a.AsSlice())
}

// clients gives the client further addresses, 172.25.8.11 and up.
func clients(r *rig.Rig, n int) []netip.Addr {
	list := []netip.Addr{netip.MustParseAddr(r.CIP)}
	for a := list[0]; len(list) < n; {
		a = a.Next()
		r.Must(r.Client.Address("eth0", a.String()+"/24"))
		list = append(list, a)
	}
	return list
}
