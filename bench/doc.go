// Package bench measures directors: it makes traffic, counts what arrives at
// the other end, and lays out lvx and its peers side by side on one machine.
//
//	Generator ─► public NIC │ director │ private NIC ─► Sink
//
// Generator and Sink are programs in the kernel (traffic.c), fast enough not
// to be the limit. A Contender is a director under test in network namespaces
// of its own; Run measures several of them in turn and repeatedly, so that
// what disturbs the machine disturbs all, and Report writes medians, spread
// and ratios. Figures of one machine at one time: compare ratios.
package bench

// Only clang 14 makes the same bytes.
//go:generate go tool bpf2go -tags linux -target bpfel -no-global-types traffic traffic.c -- -mcpu=v3 -Wall -Wextra -Werror
