package bench

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Sink drops and counts at a NIC the frames of Generators, and leaves all
// others to the kernel.
type Sink struct {
	kernel   sinkObjects
	attached link.Link
}

type sinkObjects struct {
	Program *ebpf.Program `ebpf:"lvx_sink"`
	Counts  *ebpf.Map     `ebpf:"counts"`
	Delays  *ebpf.Map     `ebpf:"delays"`
}

// SinkOptions says what a Sink does beside counting.
type SinkOptions struct {
	Verify  bool // check every checksum, and count frames by server
	Delays  bool // keep a histogram of the time that frames were under way
	Generic bool // attach to the kernel's generic receive path
}

// Arrived is what a Sink has counted.
type Arrived struct {
	Frames, Bytes       uint64
	BadIP, BadTransport uint64     // wrong checksums, with SinkOptions.Verify
	ByServer            [16]uint64 // by the last four bits of the server's address, likewise
}

// NewSink attaches a sink to the NIC of that index, in the network namespace
// of the calling thread.
func NewSink(nic int, o SinkOptions) (*Sink, error) {
	spec, err := loadTraffic()
	if err != nil {
		return nil, err
	}
	if err := set(spec, map[string]any{"verify": flag(o.Verify), "measure": flag(o.Delays)}); err != nil {
		return nil, err
	}
	s := &Sink{}
	if err := spec.LoadAndAssign(&s.kernel, nil); err != nil {
		return nil, fmt.Errorf("load sink: %w", err)
	}
	mode := link.XDPDriverMode
	if o.Generic {
		mode = link.XDPGenericMode
	}
	s.attached, err = link.AttachXDP(link.XDPOptions{Program: s.kernel.Program, Interface: nic, Flags: mode})
	if errors.Is(err, unix.EBUSY) {
		err = fmt.Errorf("%w; it has another XDP program (bpftool net shows it)", err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach sink to nic %d: %w", nic, err), s.Close())
	}
	return s, nil
}

// Arrived returns what was counted so far.
func (s *Sink) Arrived() (a Arrived, err error) {
	counts, err := sums(s.kernel.Counts)
	if err != nil {
		return a, fmt.Errorf("read sink: %w", err)
	}
	a = Arrived{Frames: counts[0], Bytes: counts[1], BadIP: counts[2], BadTransport: counts[3]}
	copy(a.ByServer[:], counts[4:])
	return a, nil
}

// Delays returns the histogram so far.
func (s *Sink) Delays() (Histogram, error) {
	buckets, err := sums(s.kernel.Delays)
	if err != nil {
		return nil, fmt.Errorf("read sink: %w", err)
	}
	return buckets, nil
}

// sums reads a map of one counter a CPU and adds up the CPUs.
func sums(m *ebpf.Map) ([]uint64, error) {
	out := make([]uint64, m.MaxEntries())
	var each []uint64
	for i := range out {
		if err := m.Lookup(uint32(i), &each); err != nil {
			return nil, err
		}
		for _, n := range each {
			out[i] += n
		}
	}
	return out, nil
}

// Close detaches and unloads the sink.
func (s *Sink) Close() error {
	errs := []error{s.kernel.Program.Close(), s.kernel.Counts.Close(), s.kernel.Delays.Close()}
	if s.attached != nil {
		errs = append(errs, s.attached.Close())
	}
	return errors.Join(errs...)
}
