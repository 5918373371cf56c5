package xsk

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/lvx-lb/lvx/nic/xsk/bare"
	"golang.org/x/sys/unix"
)

// BenchmarkForward forwards 60-byte frames between two veths and only swaps
// their MACs. The kernel sends them from the far end of one and drops them at
// the far end of the other; an op is one frame that was forwarded. Fill and
// transmit rings are as a director's.
func BenchmarkForward(b *testing.B) {
	inLab(b, func() {
		pa, pb := newPair(b, "a"), newPair(b, "b")
		dropAtFarEnd(b, pa)
		dropAtFarEnd(b, pb)
		u, err := NewPool(16384, 2048, -1)
		must(b, err)
		defer u.Close()
		all := u.Chunks()
		sa, err := Open(u, Config{Ifindex: pa.near.Attrs().Index, Mode: Native, Fill: all[:2048]})
		must(b, err)
		defer sa.Close()
		sb, err := Open(u, Config{Ifindex: pb.near.Attrs().Index, Mode: Native, Shared: sa, Fill: all[2048:4096]})
		must(b, err)
		defer sb.Close()
		pa.steer(b, sa)
		pb.steer(b, sb)
		f := bare.New(&u.Pool, sa, sb, all[4096:])

		stop := flood(b, pa)
		defer stop()
		poll := []unix.PollFd{{Fd: int32(sa.FD()), Events: unix.POLLIN}, {Fd: int32(sb.FD()), Events: unix.POLLIN}}
		pin(1)
		before := threadTime()
		b.ResetTimer()
		for f.Forwarded < uint64(b.N) {
			if f.Step() == 0 {
				unix.Poll(poll, 100)
			}
		}
		b.StopTimer()
		b.ReportMetric(float64(f.Forwarded)/b.Elapsed().Seconds()/1e6, "Mpps")
		b.ReportMetric(float64(threadTime()-before)/float64(f.Forwarded), "cpu-ns/op")
		b.ReportMetric(float64(f.Dropped), "tx-full")
	})
}

// xdpProgram returns a program that gives every frame that verdict.
func xdpProgram(t testing.TB, verdict int32) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R0, verdict), asm.Return(),
	}})
	must(t, err)
	return p
}

func dropAtFarEnd(t testing.TB, p *nicPair) {
	t.Helper()
	const drop = 1
	program := xdpProgram(t, drop)
	l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: p.far.Attrs().Index, Flags: link.XDPDriverMode})
	must(t, err)
	t.Cleanup(func() { l.Close(); program.Close() })
}

// flood has the kernel send frames into near as fast as it can, from a thread
// of its own.
func flood(t testing.TB, p *nicPair) (stop func()) {
	const transmit = 3
	const liveFrames = 1 << 1 // BPF_F_TEST_XDP_LIVE_FRAMES
	program := xdpProgram(t, transmit)
	var stopped atomic.Bool
	done := make(chan struct{})
	// Live frames come in on a NIC of this thread's namespace: the generator
	// must enter it too.
	enter := enterHere(t)
	go func() {
		defer close(done)
		runtime.LockOSThread()
		enter()
		pin(0)
		context := struct{ Data, DataEnd, DataMeta, Ingress, Queue, Egress uint32 }{DataEnd: 60, Ingress: uint32(p.far.Attrs().Index)}
		frame := make([]byte, 60)
		frame[12], frame[13] = etherType>>8, etherType&0xff
		for !stopped.Load() {
			if _, err := program.Run(&ebpf.RunOptions{Data: frame, Context: context, Repeat: 1 << 20, Flags: liveFrames, BatchSize: 64}); err != nil {
				t.Errorf("flood: %v", err)
				return
			}
		}
	}()
	return func() { stopped.Store(true); <-done; program.Close() }
}

// threadTime is what this thread has used of a CPU, a figure that the load of
// the machine does not touch.
func threadTime() int64 {
	var usage unix.Rusage
	unix.Getrusage(unix.RUSAGE_THREAD, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}

// pin keeps this thread on one CPU: the receive work of a veth runs where its
// sender does, so generator and forwarder have a CPU each.
func pin(cpu int) {
	var set unix.CPUSet
	set.Set(cpu % runtime.NumCPU())
	unix.SchedSetaffinity(0, &set)
}

// enterHere returns what moves another thread into this thread's namespace.
func enterHere(t testing.TB) func() {
	t.Helper()
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return func() { unix.Setns(fd, unix.CLONE_NEWNET) }
}
