package sockopt

import (
	"golang.org/x/sys/unix"
)

// The filter sees only numbers, so it stops every call that may be meant: all
// options of IPVS's range at level 0, and every opening for reading, because
// a path is only a pointer to it.

// Offsets into struct seccomp_data. An argument's low half comes first; the
// kernel itself ignores the high half of those looked at here, which are int.
const (
	dataCall = 0
	dataArch = 4
)

func dataArgument(n uint32) uint32 { return 16 + 8*n }

// What the filter says of a call.
const (
	actAllow  = unix.SECCOMP_RET_ALLOW
	actNotify = unix.SECCOMP_RET_USER_NOTIF
)

func actRefuse(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

const (
	load       = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	and        = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	ifEqual    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	ifAtLeast  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	ifGreater  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	ret        = unix.BPF_RET | unix.BPF_K
	notReading = unix.O_ACCMODE | unix.O_CREAT | unix.O_DIRECTORY | unix.O_PATH
)

// test is true of a call whose argument, with the bits of mask, is between
// least and most.
type test struct {
	argument          uint32
	mask, least, most uint32
}

func is(argument, value uint32) test { return test{argument, ^uint32(0), value, value} }

// rule says what becomes of a call for which all tests are true.
type rule struct {
	call   uint32
	tests  []test
	action uint32
}

// program returns the instructions of one rule; those that follow it are
// reached if it does not apply.
func (r rule) program() []unix.SockFilter {
	p := []unix.SockFilter{{Code: load, K: dataCall}, {Code: ifEqual, K: r.call}}
	misses := []int{1}
	for _, t := range r.tests {
		p = append(p, unix.SockFilter{Code: load, K: dataArgument(t.argument)})
		if t.mask != ^uint32(0) {
			p = append(p, unix.SockFilter{Code: and, K: t.mask})
		}
		if t.least == t.most {
			misses = append(misses, len(p))
			p = append(p, unix.SockFilter{Code: ifEqual, K: t.least})
			continue
		}
		misses = append(misses, len(p))
		p = append(p, unix.SockFilter{Code: ifAtLeast, K: t.least})
		misses = append(misses, len(p))
		p = append(p, unix.SockFilter{Code: ifGreater, K: t.most})
	}
	p = append(p, unix.SockFilter{Code: ret, K: r.action})
	for _, i := range misses {
		past := uint8(len(p) - i - 1)
		if p[i].Code == ifGreater {
			p[i].Jt = past
		} else {
			p[i].Jf = past
		}
	}
	return p
}

func program(rules []rule) []unix.SockFilter {
	var p []unix.SockFilter
	for _, r := range rules {
		p = append(p, r.program()...)
	}
	return append(p, unix.SockFilter{Code: ret, K: actAllow})
}

// calls are the numbers of system calls on one architecture; none is one
// that it does not have.
type calls struct {
	getsockopt, setsockopt, open, openat, socket, initModule, finitModule uint32
}

const none = ^uint32(0)

// rules returns what holds for a's calls. Only those of the native
// architecture are answered: the structures of another are laid out
// differently. Its programs are told that there is no IPVS, and neither may
// load the kernel's own.
func (a *calls) rules(native bool) []rule {
	option := actRefuse(unix.ENOPROTOOPT)
	if native {
		option = actNotify
	}
	ours := []test{is(1, unix.IPPROTO_IP), {2, ^uint32(0), optionFirst, optionLast}}
	all := []rule{
		{a.getsockopt, ours, option},
		{a.setsockopt, ours, option},
		{a.socket, []test{is(0, unix.AF_NETLINK), is(2, unix.NETLINK_GENERIC)}, actRefuse(unix.EPROTONOSUPPORT)},
		{a.initModule, nil, actRefuse(unix.EPERM)},
		{a.finitModule, nil, actRefuse(unix.EPERM)},
	}
	if native {
		all = append(all,
			rule{a.openat, []test{{2, notReading, unix.O_RDONLY, unix.O_RDONLY}}, actNotify},
			rule{a.open, []test{{1, notReading, unix.O_RDONLY, unix.O_RDONLY}}, actNotify})
	}
	var has []rule
	for _, r := range all {
		if r.call != none {
			has = append(has, r)
		}
	}
	return has
}

// filter returns the program for this architecture and its 32-bit relative.
func filter() []unix.SockFilter {
	foreign := program(foreignCalls.rules(false))
	p := []unix.SockFilter{{Code: load, K: dataArch}, {Code: ifEqual, K: nativeArch, Jt: uint8(len(foreign))}}
	p = append(append(p, foreign...), oddities...)
	return append(p, program(nativeCalls.rules(true))...)
}
