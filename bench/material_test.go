package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// The TRex profiles cannot run here; their packets and their search can be
// looked at.
func TestTRexPacketsAreValid(t *testing.T) {
	python := "/usr/bin/python3" // the one that Debian's packages are for
	if exec.Command(python, "-c", "import scapy").Run() != nil {
		t.Skip("needs python3 with scapy")
	}
	path := filepath.Join(t.TempDir(), "trex.pcap")
	check := exec.Command(python, "check.py", path)
	check.Dir = "trex"
	check.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	must(t, err)
	n := 0
	for ; ; n++ {
		frame, _, err := r.ReadPacketData()
		if err != nil {
			break
		}
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
		if p.TransportLayer() == nil {
			t.Fatalf("frame %d: %v", n, p)
		}
		checksums(t, p, frame)
	}
	if n != 12 {
		t.Errorf("%d frames", n)
	}
}

// pktgen is no part of most kernels; what is written to it can be looked at.
// `make test-vm` runs it.
func TestPktgenIsToldWhatTheOptionsSay(t *testing.T) {
	for _, c := range []struct {
		script, options string
		want            []string
	}{
		{"flood.sh", "-d 192.0.2.1 -F 1000000 -t 2", []string{
			"kpktgend_1 < add_device eth1@1", "eth1@1 < pkt_size 60", "eth1@1 < dst 192.0.2.1", "eth1@1 < flag UDPSRC_RND",
			"eth1@1 < src_min 10.0.0.17", "eth1@1 < src_max 10.0.0.33", "eth1@1 < flag IPSRC_RND", "pgctrl < start",
		}},
		{"flood.sh", "-d 192.0.2.1 -F 5 -S 192.0.2.7", []string{
			"eth1@0 < src_min 192.0.2.7", "eth1@0 < src_max 192.0.2.7", "eth1@0 < udp_src_min 1024", "eth1@0 < udp_src_max 1029",
		}},
		{"flood.sh", "-6 -d 2001:db8::1 -S 2001:db8::7", []string{
			"eth1@0 < dst6 2001:db8::1", "eth1@0 < src6 2001:db8::7", "eth1@0 < pkt_size 78",
		}},
		{"newflows.sh", "-d 192.0.2.1 -F 1000000", []string{"eth1@0 < src_max 10.0.0.16", "eth1@0 < udp_src_max 65523", "eth1@0 < burst 1"}},
	} {
		out, err := pktgen(t, c.script, c.options)
		if err != nil {
			t.Fatalf("%s %s: %v: %s", c.script, c.options, err, out)
		}
		for _, line := range c.want {
			if !strings.Contains(out, "/"+line+"\n") {
				t.Errorf("%s %s does not write %q:\n%s", c.script, c.options, line, out)
			}
		}
		if c.script == "newflows.sh" && strings.Contains(out, "_RND") {
			t.Errorf("new flows in random order:\n%s", out)
		}
	}
}

func TestPktgenIsNotToldNonsense(t *testing.T) {
	for options, why := range map[string]string{
		"-d 192.0.2.1 -p http":   "numbers are needed",
		"-6 -d 2001:db8::1":      "-6 needs -S",
		"-d 192.0.2.1 -n 1.000 ": "numbers are needed",
		"-F 1000":                "Usage:",
	} {
		if out, err := pktgen(t, "flood.sh", options); err == nil || !strings.Contains(out, why) || strings.Contains(out, " < ") {
			t.Errorf("%s: %v: %s", options, err, out)
		}
	}
}

// pktgen runs a script that writes to a folder in place of the kernel's.
func pktgen(t *testing.T, script, options string) (string, error) {
	t.Helper()
	args := []string{filepath.Join("pktgen", script), "-i", "eth1", "-m", "02:00:00:00:00:01", "-v"}
	cmd := exec.Command("sh", append(args, strings.Fields(options)...)...)
	cmd.Env = append(os.Environ(), "PKTGEN="+t.TempDir())
	out, err := cmd.CombinedOutput()
	return string(out), err
}
