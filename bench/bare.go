package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/nic/xsk"
	"github.com/lvx-lb/lvx/nic/xsk/bare"
)

// Bare forwards between two NICs by AF_XDP sockets and only swaps MAC
// addresses, until the context ends: the limit of what a director can do with
// the same sockets, rings and sleep. ready is called when it forwards.
func Bare(ctx context.Context, public, private string, ready func()) (err error) {
	const chunks, chunk, ring = 16384, 2048, 2048
	u, err := xsk.NewPool(chunks, chunk, -1)
	if err != nil {
		return err
	}
	defer u.Close()
	free := u.Chunks()
	var sockets [2]*xsk.Socket
	for i, name := range []string{public, private} {
		n, err := net.InterfaceByName(name)
		if err != nil {
			return fmt.Errorf("look up %s: %w", name, err)
		}
		sockets[i], err = xsk.Open(u, xsk.Config{Ifindex: n.Index, Mode: xsk.Native, Shared: sockets[0], Fill: free[:ring]})
		if err != nil {
			return err
		}
		defer sockets[i].Close()
		free = free[ring:]
		detach, err := redirect(n.Index, sockets[i])
		if err != nil {
			return err
		}
		defer detach()
	}
	f := bare.New(&u.Pool, sockets[0], sockets[1], free)
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("create epoll: %w", err)
	}
	defer unix.Close(epoll)
	for _, s := range sockets {
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, s.FD(), &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}); err != nil {
			return fmt.Errorf("watch queue: %w", err)
		}
	}
	ready()
	runtime.LockOSThread()
	events := make([]unix.EpollEvent, len(sockets))
	for worked := false; ctx.Err() == nil; {
		if f.Step() > 0 {
			worked = true
			continue
		}
		if !worked || xsk.Nap(epoll, events, 8*time.Millisecond) == 0 { // as a worker sleeps
			unix.EpollWait(epoll, events, 100)
		}
		worked = false
	}
	return nil
}

// redirect sends every frame of a NIC into a socket.
func redirect(nic int, s *xsk.Socket) (detach func() error, err error) {
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return nil, fmt.Errorf("make socket map: %w", err)
	}
	defer sockets.Close() // the program keeps it
	if err := sockets.Put(uint32(0), uint32(s.FD())); err != nil {
		return nil, fmt.Errorf("enter socket: %w", err)
	}
	const pass = 2
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "lvx_bare", Type: ebpf.XDP, License: "Dual BSD/GPL", Instructions: asm.Instructions{
		asm.LoadMapPtr(asm.R1, sockets.FD()),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Imm(asm.R3, pass),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	}})
	if err != nil {
		return nil, fmt.Errorf("load redirection: %w", err)
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: nic, Flags: link.XDPDriverMode})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach redirection to nic %d: %w", nic, err), program.Close())
	}
	return func() error { return errors.Join(l.Close(), program.Close()) }, nil
}
