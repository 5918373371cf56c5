package sockopt

import "golang.org/x/sys/unix"

const nativeArch = unix.AUDIT_ARCH_AARCH64

var (
	nativeCalls = calls{
		getsockopt: unix.SYS_GETSOCKOPT, setsockopt: unix.SYS_SETSOCKOPT, open: none, openat: unix.SYS_OPENAT,
		socket: unix.SYS_SOCKET, initModule: unix.SYS_INIT_MODULE, finitModule: unix.SYS_FINIT_MODULE,
	}
	// 32-bit ARM.
	foreignCalls = calls{
		getsockopt: 295, setsockopt: 294, open: none, openat: none, socket: 281, initModule: 128, finitModule: 379,
	}
	oddities []unix.SockFilter
)
