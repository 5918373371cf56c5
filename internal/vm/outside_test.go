package vm

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// outside is a world outside a guest: it sends and takes frames on the guest's
// NICs without costing it an instruction, and reads how many it executes.
type outside struct {
	t      *testing.T
	dir    string
	counts string
	wires  [2]*wire
}

// wire is the far end of a NIC: a socket with one frame a datagram.
type wire struct {
	conn    *net.UnixConn
	near    *net.UnixAddr
	arrived atomic.Int64 // UDP packets
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{t: t, dir: t.TempDir()}
	// A folder of a test may be too deep for the address of a socket.
	short, err := os.MkdirTemp("", "lvx-wire-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	o.counts = filepath.Join(short, "counts")
	for i := range o.wires {
		far := &net.UnixAddr{Name: filepath.Join(short, fmt.Sprintf("far%d", i)), Net: "unixgram"}
		w := &wire{near: &net.UnixAddr{Name: filepath.Join(short, fmt.Sprintf("near%d", i)), Net: "unixgram"}}
		if w.conn, err = net.ListenUnixgram("unixgram", far); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.conn.Close() })
		w.conn.SetReadBuffer(8 << 20)
		w.conn.SetWriteBuffer(8 << 20)
		go w.take()
		o.wires[i] = w
	}
	o.dir = short
	return o
}

// take counts what the guest sends.
func (w *wire) take() {
	var frame [65536]byte
	for {
		n, err := w.conn.Read(frame[:])
		if err != nil {
			return
		}
		if n >= 42 && frame[12] == 8 && frame[13] == 0 && frame[23] == 17 {
			w.arrived.Add(1)
		}
	}
}

// arguments make QEMU count instructions and connect two NICs of that model.
func (o *outside) arguments(model string) []string {
	o.t.Helper()
	plugin := filepath.Join(o.dir, "count.so")
	if out, err := exec.Command("cc", "-O2", "-fPIC", "-shared", "-o", plugin, "plugin/count.c").CombinedOutput(); err != nil {
		o.t.Skipf("no C compiler for the plugin that counts: %v: %s", err, out)
	}
	args := []string{"-plugin", plugin + ",out=" + o.counts}
	for i, mac := range []string{macD0, macD1} {
		args = append(args,
			"-device", fmt.Sprintf("pcie-root-port,id=port%d,chassis=%d", i, i+1),
			"-netdev", fmt.Sprintf("dgram,id=net%d,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s",
				i, o.wires[i].near.Name, o.wires[i].conn.LocalAddr()),
			"-device", fmt.Sprintf("%s,bus=port%d,netdev=net%d,mac=%s,romfile=", model, i, i, mac))
	}
	return args
}

// executed returns what every block of instructions has done so far.
func (o *outside) executed() profile {
	o.t.Helper()
	text, err := os.ReadFile(o.counts)
	if err != nil {
		o.t.Fatal(err)
	}
	p := profile{}
	for ; len(text) >= 24; text = text[24:] {
		if runs := binary.LittleEndian.Uint64(text[8:]); runs > 0 {
			p[binary.LittleEndian.Uint64(text)] = work{float64(runs), float64(binary.LittleEndian.Uint64(text[16:]))}
		}
	}
	return p
}

// send sends n frames on one wire, so many at a time, and returns how many
// came out of the other. It gives up when a whole window of them is lost.
func (o *outside) send(on int, frames [][]byte, n, window int) int64 {
	o.t.Helper()
	in, out := o.wires[on], o.wires[1-on]
	before, lost := out.arrived.Load(), int64(0)
	arrived := func() int64 { return out.arrived.Load() - before }
	for i := range int64(n) {
		for since := time.Now(); i-arrived()-lost >= int64(window); time.Sleep(5 * time.Microsecond) {
			if time.Since(since) < 3*time.Second {
				continue
			}
			if lost = i - arrived(); lost >= int64(window) {
				return arrived()
			}
		}
		_, err := in.conn.WriteToUnix(frames[int(i)%len(frames)], in.near)
		for ; errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.EAGAIN); time.Sleep(time.Millisecond) {
			_, err = in.conn.WriteToUnix(frames[int(i)%len(frames)], in.near)
		}
		if err != nil {
			o.t.Fatal(err)
		}
	}
	for since := time.Now(); arrived()+lost < int64(n) && time.Since(since) < time.Second; {
		time.Sleep(time.Millisecond)
	}
	return arrived()
}

// measure returns what a packet costs, the middle one of three times: where
// others use the cores of this machine, the outside is slow at times, and few
// packets are in flight.
func (o *outside) measure(on int, frames [][]byte, window int) profile {
	o.t.Helper()
	o.send(on, frames, max(300, len(frames)), window) // flows that begin cost more
	var times [3]profile
	for i := range times {
		times[i] = o.slope(on, frames, window)
	}
	slices.SortFunc(times[:], func(a, b profile) int { return cmp.Compare(a.total(), b.total()) })
	return times[1]
}

// slope returns what a packet costs by the difference between few packets and
// many, so that what does not depend on them drops out.
func (o *outside) slope(on int, frames [][]byte, window int) profile {
	o.t.Helper()
	few, many := 2000, 10000
	if window == 1 {
		few, many = 300, 1500
	}
	var took [2]profile
	var came [2]int64
	for i, n := range []int{few, many} {
		time.Sleep(200 * time.Millisecond)
		before := o.executed()
		came[i] = o.send(on, frames, n, window)
		time.Sleep(100 * time.Millisecond)
		took[i] = o.executed().less(before)
		if came[i] < int64(n)*99/100 {
			o.t.Errorf("%d of %d packets came through", came[i], n)
		}
	}
	return took[1].less(took[0]).over(float64(came[1] - came[0]))
}

// datagrams builds frames of 64 bytes (with their checksum), one a flow: the
// client's port varies.
func datagrams(t *testing.T, from, to [2]string, client, server, flows int, answers bool) [][]byte {
	t.Helper()
	frames := make([][]byte, flows)
	for i := range frames {
		source, destination := client+i, server
		if answers {
			source, destination = server, client+i
		}
		mac := [2]net.HardwareAddr{}
		for j, text := range []string{from[0], to[0]} {
			var err error
			if mac[j], err = net.ParseMAC(text); err != nil {
				t.Fatal(err)
			}
		}
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.ParseIP(from[1]), DstIP: net.ParseIP(to[1])}
		udp := &layers.UDP{SrcPort: layers.UDPPort(source), DstPort: layers.UDPPort(destination)}
		udp.SetNetworkLayerForChecksum(ip)
		buf := gopacket.NewSerializeBuffer()
		err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			&layers.Ethernet{SrcMAC: mac[0], DstMAC: mac[1], EthernetType: layers.EthernetTypeIPv4}, ip, udp, gopacket.Payload(make([]byte, 18)))
		if err != nil {
			t.Fatal(err)
		}
		frames[i] = buf.Bytes()
	}
	return frames
}
