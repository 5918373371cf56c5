package sockopt

import "golang.org/x/sys/unix"

const nativeArch = unix.AUDIT_ARCH_X86_64

var (
	nativeCalls = calls{
		getsockopt: unix.SYS_GETSOCKOPT, setsockopt: unix.SYS_SETSOCKOPT, open: unix.SYS_OPEN, openat: unix.SYS_OPENAT,
		socket: unix.SYS_SOCKET, initModule: unix.SYS_INIT_MODULE, finitModule: unix.SYS_FINIT_MODULE,
	}
	// i386.
	foreignCalls = calls{
		getsockopt: 365, setsockopt: 366, open: none, openat: none, socket: 359, initModule: 128, finitModule: 350,
	}
	// x32 has numbers of its own and structures that nobody knows here; most
	// kernels do without it.
	oddities = []unix.SockFilter{
		{Code: load, K: dataCall},
		{Code: ifAtLeast, K: x32, Jf: 1},
		{Code: ret, K: actRefuse(unix.ENOSYS)},
	}
)

const x32 = 1 << 30
