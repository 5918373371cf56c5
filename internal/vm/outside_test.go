package vm

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// outside is a world outside a guest: it sends and takes frames on the guest's
// NICs without costing it an instruction, and reads how many it executes.
type outside struct {
	t      *testing.T
	dir    string
	counts string
	wires  [2]*wire
}

// wire is the far end of a NIC: a stream of frames, each behind its length.
type wire struct {
	listener *net.UnixListener
	conn     *net.UnixConn
	raw      syscall.RawConn
	got      []byte // the beginning of a frame, or frames
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	// A folder of a test may be too deep for the address of a socket.
	dir, err := os.MkdirTemp("", "lvx-wire-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := &outside{t: t, dir: dir, counts: filepath.Join(dir, "counts")}
	for i := range o.wires {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, fmt.Sprintf("wire%d", i)), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		o.wires[i] = &wire{listener: l}
	}
	return o
}

// connect takes the connections that QEMU has made.
func (o *outside) connect() {
	o.t.Helper()
	for _, w := range o.wires {
		if w.conn != nil {
			continue
		}
		var err error
		if w.conn, err = w.listener.AcceptUnix(); err != nil {
			o.t.Fatal(err)
		}
		o.t.Cleanup(func() { w.conn.Close() })
		if w.raw, err = w.conn.SyscallConn(); err != nil {
			o.t.Fatal(err)
		}
	}
}

// take counts the UDP packets that the guest has sent since.
func (w *wire) take() (packets int) {
	w.raw.Read(func(fd uintptr) bool {
		for {
			w.got = slices.Grow(w.got, 1<<16)
			n, err := unix.Read(int(fd), w.got[len(w.got):cap(w.got)])
			if n <= 0 || err != nil {
				return true
			}
			w.got = w.got[:len(w.got)+n]
			packets += w.cut()
		}
	})
	return packets
}

// cut takes whole frames off what was got.
func (w *wire) cut() (packets int) {
	rest := w.got
	for len(rest) >= 4 {
		end := 4 + int(binary.BigEndian.Uint32(rest))
		if len(rest) < end {
			break
		}
		if f := rest[4:end]; len(f) >= 42 && f[12] == 8 && f[13] == 0 && f[23] == 17 {
			packets++
		}
		rest = rest[end:]
	}
	w.got = w.got[:copy(w.got, rest)]
	return packets
}

// put sends frames as one.
func (w *wire) put(frames [][]byte) error {
	var text []byte
	for _, f := range frames {
		text = append(binary.BigEndian.AppendUint32(text, uint32(len(f))), f...)
	}
	_, err := w.conn.Write(text)
	return err
}

// wait waits a moment for something to take.
func (w *wire) wait() {
	w.raw.Control(func(fd uintptr) { unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10) })
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
			"-netdev", fmt.Sprintf("stream,id=net%d,server=off,addr.type=unix,addr.path=%s", i, o.wires[i].listener.Addr()),
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
// came out of the other. It gives up when none comes for a while.
func (o *outside) send(on int, frames [][]byte, n, window int) int {
	o.t.Helper()
	o.connect()
	done := make(chan int)
	go func() {
		// A thread that ends with this: the guest, at a low priority, shall
		// never wait for its next packets because others use the machine.
		runtime.LockOSThread()
		unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -15)
		done <- o.keep(o.wires[on], o.wires[1-on], frames, n, window)
	}()
	return <-done
}

// keep keeps a window of frames in flight.
func (o *outside) keep(in, out *wire, frames [][]byte, n, window int) (arrived int) {
	out.take()
	last := time.Now()
	for sent := 0; arrived < n && time.Since(last) < 3*time.Second; {
		var next [][]byte
		for ; sent < n && sent-arrived < window; sent++ {
			next = append(next, frames[sent%len(frames)])
		}
		if err := in.put(next); err != nil {
			o.t.Errorf("send: %v", err)
			return arrived
		}
		in.take()
		if came := out.take(); came > 0 {
			arrived, last = arrived+came, time.Now()
		} else {
			out.wait()
		}
	}
	return arrived
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
		few, many = 100, 600
	}
	var took [2]profile
	var came [2]int
	for i, n := range []int{few, many} {
		time.Sleep(200 * time.Millisecond)
		before := o.executed()
		came[i] = o.send(on, frames, n, window)
		time.Sleep(100 * time.Millisecond)
		took[i] = o.executed().less(before)
		if came[i] < n*99/100 {
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
