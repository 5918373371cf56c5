package sockopt

import (
	"testing"

	"golang.org/x/sys/unix"
)

// data is struct seccomp_data.
type data struct {
	call, arch uint32
	arguments  [6]uint64
}

func (d *data) word(offset uint32) uint32 {
	switch {
	case offset == dataCall:
		return d.call
	case offset == dataArch:
		return d.arch
	}
	return uint32(d.arguments[(offset-16)/8] >> (offset % 8 * 8))
}

// run is a slow twin of the kernel's interpreter for what is used here.
func run(t *testing.T, p []unix.SockFilter, d data) uint32 {
	var a uint32
	for pc := 0; pc < len(p); pc++ {
		i := p[pc]
		jump := func(yes bool) {
			if yes {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		}
		switch i.Code {
		case load:
			a = d.word(i.K)
		case and:
			a &= i.K
		case ifEqual:
			jump(a == i.K)
		case ifAtLeast:
			jump(a >= i.K)
		case ifGreater:
			jump(a > i.K)
		case ret:
			return i.K
		default:
			t.Fatalf("unknown instruction %#x", i.Code)
		}
	}
	t.Fatal("the program has no end")
	return 0
}

func TestFilterStopsWhatMayBeMeant(t *testing.T) {
	const native, i386, high = unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, 0xdeadbeef << 32
	at := unix.AT_FDCWD
	for _, c := range []struct {
		what string
		data data
		want uint32
	}{
		{"first option", data{unix.SYS_SETSOCKOPT, native, [6]uint64{3, 0, 1152}}, actNotify},
		{"last option", data{unix.SYS_GETSOCKOPT, native, [6]uint64{3, 0, 1167}}, actNotify},
		{"high halves that the kernel ignores", data{unix.SYS_GETSOCKOPT, native, [6]uint64{3, high, high | 1153}}, actNotify},
		{"option below", data{unix.SYS_SETSOCKOPT, native, [6]uint64{3, 0, 1151}}, actAllow},
		{"option above", data{unix.SYS_SETSOCKOPT, native, [6]uint64{3, 0, 1168}}, actAllow},
		{"level SOL_SOCKET", data{unix.SYS_SETSOCKOPT, native, [6]uint64{3, 1, 1152}}, actAllow},
		{"openat", data{unix.SYS_OPENAT, native, [6]uint64{uint64(at), 1, unix.O_RDONLY | unix.O_CLOEXEC}}, actNotify},
		{"open", data{unix.SYS_OPEN, native, [6]uint64{1, high}}, actNotify},
		{"openat to write", data{unix.SYS_OPENAT, native, [6]uint64{uint64(at), 1, unix.O_WRONLY}}, actAllow},
		{"openat to create", data{unix.SYS_OPENAT, native, [6]uint64{uint64(at), 1, unix.O_CREAT}}, actAllow},
		{"openat of a folder", data{unix.SYS_OPENAT, native, [6]uint64{uint64(at), 1, unix.O_DIRECTORY}}, actAllow},
		{"open to write", data{unix.SYS_OPEN, native, [6]uint64{1, unix.O_RDWR}}, actAllow},
		{"generic netlink", data{unix.SYS_SOCKET, native, [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW | unix.SOCK_CLOEXEC, unix.NETLINK_GENERIC}}, actRefuse(unix.EPROTONOSUPPORT)},
		{"route netlink", data{unix.SYS_SOCKET, native, [6]uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}}, actAllow},
		{"protocol 16 elsewhere", data{unix.SYS_SOCKET, native, [6]uint64{unix.AF_INET, unix.SOCK_RAW, 16}}, actAllow},
		{"init_module", data{unix.SYS_INIT_MODULE, native, [6]uint64{}}, actRefuse(unix.EPERM)},
		{"finit_module", data{unix.SYS_FINIT_MODULE, native, [6]uint64{}}, actRefuse(unix.EPERM)},
		{"read", data{unix.SYS_READ, native, [6]uint64{0, 0, 1152}}, actAllow},
		{"32-bit setsockopt", data{366, i386, [6]uint64{3, 0, 1154}}, actRefuse(unix.ENOPROTOOPT)},
		{"32-bit getsockopt", data{365, i386, [6]uint64{3, 0, 1153}}, actRefuse(unix.ENOPROTOOPT)},
		{"32-bit setsockopt of another option", data{366, i386, [6]uint64{3, 0, 1}}, actAllow},
		{"32-bit generic netlink", data{359, i386, [6]uint64{unix.AF_NETLINK, 3, unix.NETLINK_GENERIC}}, actRefuse(unix.EPROTONOSUPPORT)},
		{"32-bit finit_module", data{350, i386, [6]uint64{}}, actRefuse(unix.EPERM)},
		{"32-bit call with the number of openat", data{unix.SYS_OPENAT, i386, [6]uint64{}}, actAllow},
		{"32-bit openat", data{295, i386, [6]uint64{}}, actAllow},
		{"64-bit call with the number of 32-bit setsockopt", data{366, native, [6]uint64{3, 0, 1154}}, actAllow},
		{"x32 setsockopt", data{1<<30 | 541, native, [6]uint64{3, 0, 1154}}, actRefuse(unix.ENOSYS)},
	} {
		if got := run(t, filter(), c.data); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.what, got, c.want)
		}
	}
}
