package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// ErrFrame says that a frame is too short or too long to be given back.
var ErrFrame = errors.New("frame cannot take the way back")

const xdpPass = 2

// WayBack gives frames to the kernel as if a NIC had just received them: it
// runs a program that passes everything (BPF_PROG_TEST_RUN with live frames,
// 15 to 25 µs a frame). The kernel does not know what the NIC knew about a
// checksum, so a partial one must be completed before. A frame must fit into
// a page with the kernel's own data: 3,408 bytes on amd64 with Linux 6.18.
type WayBack struct {
	pass *ebpf.Program
	veth *veth // nil = frames enter at the NIC they came from
}

// NewWayBack makes the way back for native XDP: a frame enters behind the
// NIC's driver and does not meet steering again.
func NewWayBack() (*WayBack, error) {
	pass, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "lvx_way_back", Type: ebpf.XDP, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		return nil, fmt.Errorf("load way back: %w", err)
	}
	return &WayBack{pass: pass}, nil
}

// Inject gives a frame to the kernel as received on a NIC. It copies the
// frame and may be called by several goroutines.
func (w *WayBack) Inject(ifindex int, frame []byte) error {
	if w.veth != nil {
		ifindex, frame = w.veth.index, w.veth.readdress(frame)
	}
	if len(frame) < ethernetBytes || len(frame) > os.Getpagesize() {
		return fmt.Errorf("%w: %d bytes", ErrFrame, len(frame))
	}
	var md [24]byte                                           // struct xdp_md
	binary.NativeEndian.PutUint32(md[4:], uint32(len(frame))) // data_end
	binary.NativeEndian.PutUint32(md[12:], uint32(ifindex))   // ingress_ifindex
	_, err := w.pass.Run(&ebpf.RunOptions{
		Data: frame, Context: md[:], Repeat: 1, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES,
	})
	if errors.Is(err, unix.EINVAL) && len(frame) > os.Getpagesize()/2 {
		err = fmt.Errorf("%w: %d bytes: %w", ErrFrame, len(frame), err)
	}
	if err != nil {
		return fmt.Errorf("inject frame on nic %d: %w", ifindex, err)
	}
	return nil
}

// Close unloads the program, and removes the veth pair if there is one.
func (w *WayBack) Close() error {
	err := w.pass.Close()
	if w.veth != nil {
		err = errors.Join(err, w.veth.remove())
	}
	return err
}
