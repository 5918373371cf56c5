package xsk

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// etherType marks our own frames (IEEE 802 local experimental), so that what
// the kernel sends by itself is not counted.
const etherType = 0x88b5

// inLab runs f in a network namespace of its own. The thread is never given
// back: it ends with the goroutine, and the namespace with it.
func inLab(t testing.TB, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces and AF_XDP")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		ns, err := netns.New()
		if err != nil {
			t.Errorf("new namespace: %v", err)
			return
		}
		defer ns.Close()
		os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		f()
	}()
	<-done
}

// nicPair is a veth pair: near is where the socket is, far where the test
// sends and receives.
type nicPair struct {
	near, far netlink.Link
	socket    int // AF_PACKET on far
	sockets   *ebpf.Map
	attached  link.Link
}

// newPair makes a veth pair with a program on near that redirects every frame
// to the socket of its queue.
func newPair(t testing.TB, name string) *nicPair {
	return newPairWith(t, name, link.XDPDriverMode)
}

func newPairWith(t testing.TB, name string, attach link.XDPAttachFlags) *nicPair {
	t.Helper()
	err := netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, NumRxQueues: 1, NumTxQueues: 1},
		PeerName:  name + "far", PeerNumRxQueues: 1, PeerNumTxQueues: 1,
	})
	must(t, err)
	p := &nicPair{near: linkNamed(t, name), far: linkNamed(t, name+"far")}
	must(t, netlink.LinkSetUp(p.near))
	must(t, netlink.LinkSetUp(p.far))
	p.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, int(htons(etherType)))
	must(t, err)
	unix.SetsockoptInt(p.socket, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
	must(t, unix.Bind(p.socket, &unix.SockaddrLinklayer{Protocol: htons(etherType), Ifindex: p.far.Attrs().Index}))
	p.redirect(t, attach)
	t.Cleanup(func() {
		unix.Close(p.socket)
		p.attached.Close()
		p.sockets.Close()
	})
	return p
}

// redirect attaches the program.
func (p *nicPair) redirect(t testing.TB, attach link.XDPAttachFlags) {
	t.Helper()
	var err error
	p.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 4})
	must(t, err)
	const rxQueueIndex = 16 // struct xdp_md
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, rxQueueIndex, asm.Word),
		asm.LoadMapPtr(asm.R1, p.sockets.FD()),
		asm.Mov.Imm(asm.R3, 2), // XDP_PASS where there is no socket
		asm.FnRedirectMap.Call(),
		asm.Return(),
	}})
	must(t, err)
	defer program.Close()
	p.attached, err = link.AttachXDP(link.XDPOptions{Program: program, Interface: p.near.Attrs().Index, Flags: attach})
	must(t, err)
}

// steer sends the frames of near into s.
func (p *nicPair) steer(t testing.TB, s *Socket) {
	t.Helper()
	must(t, p.sockets.Put(uint32(0), uint32(s.FD())))
}

// send sends a frame of n bytes from the far end, numbered.
func (p *nicPair) send(t testing.TB, number uint32, n int) {
	t.Helper()
	frame := make([]byte, n)
	copy(frame, p.near.Attrs().HardwareAddr)
	copy(frame[6:], p.far.Attrs().HardwareAddr)
	frame[12], frame[13] = etherType>>8, etherType&0xff
	frame[14], frame[15], frame[16], frame[17] = byte(number>>24), byte(number>>16), byte(number>>8), byte(number)
	eventually(t, "room to send", func() bool {
		return unix.Sendto(p.socket, frame, 0, &unix.SockaddrLinklayer{Protocol: htons(etherType), Ifindex: p.far.Attrs().Index}) == nil
	})
}

// receive returns the number of the next frame at the far end.
func (p *nicPair) receive() (number uint32, n int, ok bool) {
	var frame [4096]byte
	for {
		n, from, err := unix.Recvfrom(p.socket, frame[:], 0)
		if err != nil {
			return 0, 0, false
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING || n < 18 {
			continue
		}
		return uint32(frame[14])<<24 | uint32(frame[15])<<16 | uint32(frame[16])<<8 | uint32(frame[17]), n, true
	}
}

func linkNamed(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	must(t, err)
	return l
}

func htons(x uint16) uint16 { return x<<8 | x>>8 }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
		runtime.Goexit()
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !condition(); {
		if time.Now().After(end) {
			t.Errorf("waited in vain for %s", what)
			runtime.Goexit()
		}
		time.Sleep(time.Millisecond)
	}
}
