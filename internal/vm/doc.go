// Package vm boots Debian's kernels in QEMU, with emulated NICs of real
// drivers, so that the director is tested on drivers that this machine does
// not have. Kernels, QEMU and the guest's programs are Debian packages,
// verified by apt and unpacked under a cache folder; nothing is installed.
// The tests run with LVX_VM=1, as `make test-vm` does; VM_SHORT=1 runs fewer.
//
//	LVX_VM=1 go test -v ./internal/vm -run Instructions
//
// says how many instructions of the whole machine a packet costs, with lvx and
// with the kernel's IPVS, and which functions execute them.
package vm
