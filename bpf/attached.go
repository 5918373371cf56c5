package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Mode is where a NIC runs an XDP program.
type Mode uint8

// The modes, as IFLA_XDP_ATTACHED names them.
const (
	None    Mode = 0
	Native  Mode = 1
	Generic Mode = 2
	Offload Mode = 3
	Several Mode = 4
)

func (m Mode) String() string {
	return [...]string{"none", "native", "generic", "offload", "several modes"}[min(m, Several)]
}

// ProgramName is what the kernel calls steering.
const ProgramName = steerProgLvxSteer

// Program is an XDP program on a NIC.
type Program struct {
	Mode Mode
	ID   uint32 // 0 if the NIC has several
	Name string // empty if the kernel does not tell
}

// Attached asks the kernel which XDP program is on a NIC, whoever put it
// there. Mode is None if there is none.
func Attached(ifindex int) (Program, error) {
	l, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return Program{}, fmt.Errorf("read XDP program of nic %d: %w", ifindex, err)
	}
	x := l.Attrs().Xdp
	if x == nil || x.AttachMode == 0 {
		return Program{}, nil
	}
	p := Program{Mode: Mode(x.AttachMode), ID: x.ProgId}
	if prog, err := ebpf.NewProgramFromID(ebpf.ProgramID(x.ProgId)); err == nil {
		defer prog.Close()
		if info, err := prog.Info(); err == nil {
			p.Name = info.Name
		}
	}
	return p, nil
}

// blame adds to a failed attachment whose program is in the way.
func blame(ifindex int, err error) error {
	if !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EEXIST) {
		return err
	}
	p, e := Attached(ifindex)
	if e != nil || p.Mode == None {
		return err
	}
	return fmt.Errorf("%w: %q, id %d, %v", ErrForeign, p.Name, p.ID, p.Mode)
}
