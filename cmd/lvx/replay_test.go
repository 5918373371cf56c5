package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

var (
	clientMAC   = net.HardwareAddr{2, 0, 0, 0, 0, 0xc}
	directorMAC = net.HardwareAddr{2, 0, 0, 0, 0, 0xd}
	serverMAC   = net.HardwareAddr{2, 0, 0, 0, 0, 0xe}
)

// segment builds a TCP segment with its Ethernet header.
func segment(t *testing.T, from, to net.HardwareAddr, src, dst string, sport, dport uint16, ttl uint8, flags string) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocolTCP, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), Seq: 7, Window: 64240,
		SYN: strings.Contains(flags, "S"), ACK: strings.Contains(flags, "A"),
	}
	tcp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: from, DstMAC: to, EthernetType: layers.EthernetTypeIPv4}, ip, tcp)
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()[:14+20+20] // without the padding of short frames
}

// record writes frames as a capture, a millisecond apart.
func record(t *testing.T, path string, frames ...[]byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriter(f)
	err = w.WriteFileHeader(65536, layers.LinkTypeEthernet)
	for i, frame := range frames {
		at := time.Unix(1000, int64(i)*int64(time.Millisecond))
		err = errors.Join(err, w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(frame), Length: len(frame)}, frame))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func recorded(t *testing.T, path string) (frames [][]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, _, err := r.ReadPacketData()
		if err != nil {
			return frames
		}
		frames = append(frames, data)
	}
}

// lvxCommand runs lvx in this process.
func lvxCommand(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = runReplay(t.Context(), args, stdio{out: &stdout, err: &stderr})
	return code, stdout.String(), stderr.String()
}

func replayLab(t *testing.T) (rules, in, out string) {
	t.Helper()
	dir := t.TempDir()
	rules, in, out = filepath.Join(dir, "rules"), filepath.Join(dir, "in.pcap"), filepath.Join(dir, "out.pcap")
	text := "# a service\n-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 10.0.0.11:8080 -m\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	record(t, in,
		segment(t, clientMAC, directorMAC, "198.51.100.7", "192.0.2.1", 40000, 80, 64, "S"),
		segment(t, serverMAC, directorMAC, "10.0.0.11", "198.51.100.7", 8080, 40000, 64, "SA"),
		segment(t, clientMAC, directorMAC, "198.51.100.7", "192.0.2.1", 40000, 80, 64, "A"),
	)
	return rules, in, out
}

func TestAReplayTranslatesBothDirections(t *testing.T) {
	rules, in, out := replayLab(t)
	code, said, errs := lvxCommand(t, "--rules", rules, in, out)
	if code != exitOK {
		t.Fatalf("%d: %s", code, errs)
	}
	want := [][]byte{
		segment(t, directorMAC, serverMAC, "198.51.100.7", "10.0.0.11", 40000, 8080, 63, "S"),
		segment(t, directorMAC, clientMAC, "192.0.2.1", "198.51.100.7", 80, 40000, 63, "SA"),
		segment(t, directorMAC, serverMAC, "198.51.100.7", "10.0.0.11", 40000, 8080, 63, "A"),
	}
	got := recorded(t, out)
	if len(got) != len(want) {
		t.Fatalf("%d frames, want %d\n%s", len(got), len(want), said)
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("frame %d:\n%x, want\n%x", i, got[i], want[i])
		}
	}
	if !strings.Contains(said, "received 3 + originated 0 = transmitted 3 + dropped 0 + passed up 0 + held 0") {
		t.Errorf("said %q", said)
	}
}

func TestAReplayIsTheSameEachTime(t *testing.T) {
	rules, in, out := replayLab(t)
	var first []byte
	for range 2 {
		if code, _, errs := lvxCommand(t, "--rules", rules, in, out); code != exitOK {
			t.Fatal(errs)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, text) {
			t.Error("two replays of one capture differ")
		}
		first = text
	}
}

func TestAReplayDoesNotWriteOverWhatItReads(t *testing.T) {
	rules, in, _ := replayLab(t)
	before, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	code, _, errs := lvxCommand(t, "--rules", rules, in, in)
	after, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	if code != exitError || !strings.Contains(errs, "it is the capture that is read") || !bytes.Equal(before, after) {
		t.Errorf("%d, %q, %d of %d bytes left", code, errs, len(after), len(before))
	}
}

func TestABadRuleIsNamedByFileAndLine(t *testing.T) {
	rules, in, out := replayLab(t)
	if err := os.WriteFile(rules, []byte("-A -t 192.0.2.1:80 -s rr\n\n-A -t 192.0.2.1:80 -s rr\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := lvxCommand(t, "--rules", rules, in, out)
	if code != exitError || !strings.Contains(errs, rules+":3: ") || strings.Count(errs, "\n") != 1 {
		t.Errorf("%d, %q", code, errs)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a refused replay leaves a capture")
	}
}

func TestAnErrorOfManyPartsIsOneLine(t *testing.T) {
	var errs bytes.Buffer
	code := fail(stdio{err: &errs}, errors.Join(errors.New("a"), errors.New("b")))
	if code != exitError || errs.String() != "lvx: a; b\n" {
		t.Errorf("%d, %q", code, errs.String())
	}
}

func TestACaptureTakenAtTheDirectorIsReplayedAsItArrived(t *testing.T) {
	rules, in, out := replayLab(t)
	if code, _, errs := lvxCommand(t, "--rules", rules, in, out); code != exitOK {
		t.Fatal(errs)
	}
	// What lvx capture writes: every frame as it came and as it left.
	arrived, sent := recorded(t, in), recorded(t, out)
	var both [][]byte
	for i := range arrived {
		both = append(both, arrived[i], sent[i])
	}
	record(t, in, both...)
	code, said, errs := lvxCommand(t, "--rules", rules, in, out)
	if code != exitOK || !strings.Contains(said, "skipped 3 frames") {
		t.Fatalf("%d: %s%s", code, errs, said)
	}
	again := recorded(t, out)
	if len(again) != len(sent) {
		t.Fatalf("%d frames, want %d\n%s", len(again), len(sent), said)
	}
	for i := range sent {
		if !bytes.Equal(again[i], sent[i]) {
			t.Errorf("frame %d:\n%x, want\n%x", i, again[i], sent[i])
		}
	}
}

func TestAReplayKnowsMarkRules(t *testing.T) {
	rules, in, out := replayLab(t)
	marks := filepath.Join(filepath.Dir(rules), "marks")
	for file, text := range map[string]string{
		rules: "-A -f 5 -s rr -p 60\n-a -f 5 -r 10.0.0.11:0 -m\n", marks: "5 to 192.0.2.0/29 tcp 80-81 on eth0\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, said, errs := lvxCommand(t, "--rules", rules, "--marks", marks, in, out)
	if code != exitOK {
		t.Fatalf("%d: %s", code, errs)
	}
	want := segment(t, directorMAC, serverMAC, "198.51.100.7", "10.0.0.11", 40000, 80, 63, "S")
	if got := recorded(t, out); len(got) != 2 || !bytes.Equal(got[0], want) {
		t.Fatalf("%d frames\n%s", len(got), said)
	}
	if code, _, errs := lvxCommand(t, "--rules", rules, "--marks", rules, in, out); code == exitOK || !strings.Contains(errs, "rules:1: invalid operation: a mark rule is") {
		t.Errorf("%d: %s", code, errs)
	}
}
