//go:build !amd64 && !arm64

package sockopt

import "golang.org/x/sys/unix"

// Of other architectures the calls are not known: Enter refuses.
const nativeArch = 0

var (
	nativeCalls  = calls{none, none, none, none, none, none, none}
	foreignCalls = nativeCalls
	oddities     []unix.SockFilter
)
