package twonic

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lvx-lb/lvx/internal/integration/rig"
	"github.com/lvx-lb/lvx/internal/netlab"
)

// checksumErrors sums what the kernels of client and servers refused.
func checksumErrors(r *rig.Rig) uint64 {
	var sum uint64
	for _, host := range append([]*netlab.Host{r.Client}, r.Servers...) {
		for _, protocol := range []string{"Tcp", "Udp", "Udp6"} {
			n, err := host.Snmp(protocol, "InCsumErrors")
			r.Must(err)
			sum += n
		}
	}
	return sum
}

// randomFile writes a file of a size and returns its SHA-256.
func randomFile(t *testing.T, path string, size int64) string {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, sum), rand.NewChaCha8([32]byte{1}), size); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func TestADownloadArrivesByteForByte(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	folder := t.TempDir()
	want := randomFile(t, filepath.Join(folder, "big"), 100<<20)
	r.Nginx(folder, "8080")
	r.Direct()
	before := checksumErrors(r)
	r.Families(func(r *rig.Rig, f rig.Family) {
		r.Rules(f.Services("-t", "80", "rr", "8080")...)
		here := filepath.Join(r.T.TempDir(), "here")
		r.Run(r.Client, "curl", "-gsS", "--max-time", "60", "-o", here, url(f.VIP, "80")+"files/big")
		out := r.Run(r.Client, "sha256sum", here)
		if got, _, _ := strings.Cut(out, " "); got != want {
			r.T.Errorf("sha256 %s, want %s", got, want)
		}
	})
	if n := checksumErrors(r) - before; n != 0 {
		t.Errorf("%d checksum errors at client and servers", n)
	}
	for _, host := range []*netlab.Host{r.Client, r.Servers[0]} {
		if out := r.Run(host, "ethtool", "-k", "eth0"); !strings.Contains(out, "tx-checksumming: on") {
			t.Errorf("%s has other offloads than the kernel's defaults", host.Name)
		}
	}
}

// A checksum that lvx leaves is the device's to finish, and the kernel's where
// the device cannot.
func TestADirectorWithoutChecksumOffloadsSpoilsNothing(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	folder := t.TempDir()
	want := randomFile(t, filepath.Join(folder, "big"), 5<<20)
	r.Nginx(folder, "8080")
	for _, nic := range []string{r.Public, r.Private} {
		r.Run(r.Director, "ethtool", "-K", nic, "tx", "off")
	}
	r.Direct()
	before := checksumErrors(r)
	r.Families(func(r *rig.Rig, f rig.Family) {
		r.Rules(f.Services("-t", "80", "rr", "8080")...)
		here := filepath.Join(r.T.TempDir(), "here")
		r.Run(r.Client, "curl", "-gsS", "--max-time", "60", "-o", here, url(f.VIP, "80")+"files/big")
		if out := r.Run(r.Client, "sha256sum", here); !strings.HasPrefix(out, want) {
			r.T.Errorf("sha256 %s, want %s", out, want)
		}
	})
	if n := checksumErrors(r) - before; n != 0 {
		t.Errorf("%d checksum errors at client and servers", n)
	}
	for _, nic := range []string{r.Public, r.Private} {
		if out := r.Run(r.Director, "ethtool", "-k", nic); !strings.Contains(out, "tx-checksumming: off") {
			t.Errorf("%s computes checksums after all", nic)
		}
	}
}

// iperf is what matters of the report of iperf3.
type iperf struct {
	Error string
	End   struct {
		Received struct {
			Rate float64 `json:"bits_per_second"`
		} `json:"sum_received"`
	}
}

func TestIperfRunsBothWays(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Iperf()
	r.Direct()
	vip := net.JoinHostPort(r.VIP, "5201")
	r.Rules("-A -t "+vip+" -s rr", "-a -t "+vip+" -r "+r.RIPs[0]+":5201 -m")
	before := checksumErrors(r)
	for _, direction := range [][]string{nil, {"-R"}} {
		var report iperf
		r.Until("the iperf3 server is done with the last run", func() bool {
			out := r.Run(r.Client, "iperf3", append([]string{"-c", r.VIP, "-t", "2", "-J"}, direction...)...)
			report = iperf{}
			r.Must(json.Unmarshal([]byte(out), &report))
			// Between two runs its listener is closed for a moment.
			return !strings.Contains(report.Error, "busy") && !strings.Contains(report.Error, "unable to connect")
		})
		t.Logf("iperf3 %v: %.0f Mbit/s", direction, report.End.Received.Rate/1e6)
		if report.End.Received.Rate == 0 {
			t.Errorf("iperf3 %v: nothing arrived: %s", direction, report.Error)
		}
	}
	if n := checksumErrors(r) - before; n != 0 {
		t.Errorf("%d checksum errors at client and servers", n)
	}
}

func TestManyConnectionsAtOnce(t *testing.T) {
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	conns := r.Hold(r.Client, 2000, net.JoinHostPort(f.VIP, "80"))
	for _, c := range conns {
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: lvx\r\n\r\n")
		r.Must(err)
	}
	who := map[string]int{}
	buf := make([]byte, 4096)
	for i, c := range conns {
		n, err := c.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200 ") {
			t.Fatalf("connection %d: %q, %v", i, buf[:n], err)
		}
		_, body, _ := strings.Cut(string(buf[:n]), "\r\n\r\n")
		server, _, _ := strings.Cut(body, " ")
		who[server]++
	}
	if who["server1"] != 1000 || who["server2"] != 1000 {
		t.Errorf("2,000 connections: %v", who)
	}
}

// Each of 16 addresses makes 12,500 connections from 2,000 ports, so a port
// comes back while its last connection is in TIME_WAIT at the server.
func TestShortConnectionsReusePorts(t *testing.T) {
	each := 12500
	if testing.Short() {
		each = 1000
	}
	r := rig.New(t, netlab.TwoNIC)
	r.Nginx(t.TempDir(), "8080")
	r.Direct()
	f := r.V4()
	r.Rules(f.Services("-t", "80", "rr", "8080")...)
	res := r.Storm(clients(r, 16), each, 2000, net.JoinHostPort(f.VIP, "80"))
	t.Logf("%d connections: %v", res.Sent, res.Answers)
	if res.Sent != 16*each {
		t.Errorf("%d of %d requests were made", res.Sent, 16*each)
	}
	if failed := res.Failed(); failed != "" {
		t.Error(failed)
	}
}
