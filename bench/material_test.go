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
func TestPktgenIsToldWhatTheOptionsSay(t *testing.T) {
	for script, want := range map[string][]string{
		"flood.sh": {
			"kpktgend_1 < add_device eth1@1", "eth1@1 < pkt_size 60", "eth1@1 < dst 192.0.2.1",
			"eth1@1 < src_min 10.0.0.17", "eth1@1 < src_max 10.0.0.32", "eth1@1 < flag IPSRC_RND", "pgctrl < start",
		},
		"newflows.sh": {"eth1@0 < flag !IPSRC_RND", "eth1@0 < udp_src_max 65523", "eth1@0 < burst 1"},
	} {
		cmd := exec.Command("sh", filepath.Join("pktgen", script), "-i", "eth1", "-m", "02:00:00:00:00:01", "-d", "192.0.2.1", "-F", "1000000", "-t", "2", "-v")
		cmd.Env = append(os.Environ(), "PKTGEN="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
		for _, line := range want {
			if !strings.Contains(string(out), "/"+line+"\n") {
				t.Errorf("%s does not write %q:\n%s", script, line, out)
			}
		}
	}
}
