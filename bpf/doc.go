// Package bpf decides in the kernel which frames lvx gets.
//
// Steering is the program steer.c with its maps, attached to the director's
// NICs: frames of virtual services and of their real servers' replies go to
// the AF_XDP socket of their queue, all others stay with the kernel. A frame
// is looked at only if it is addressed to one of the NIC's own MAC addresses.
//
// WayBack gives a frame that lvx took, and does not want, to the kernel after
// all. NewTable makes the memory of the connection table, which an XDP
// program could read.
//
// The package knows nothing of the rest of lvx. It needs Linux 5.18 and
// CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON. NICs are named by the interface
// index they have in the network namespace of the calling thread.
package bpf

// bpf2go makes the same bytes of the same source in any folder, but only clang
// 14 makes these.
//go:generate go tool bpf2go -tags linux -target bpfel -type reason -type door -type endpoint -type addr -type hint -type entrance -type zone -type ranges -no-global-types steer steer.c -- -mcpu=v3 -Wall -Wextra -Werror
