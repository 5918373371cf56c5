// Package xsk is nic.Queue on AF_XDP: one socket is one receive and transmit
// ring pair of one NIC.
//
//	NIC ─ XDP program ─► receive ring ─► worker ─► transmit ring ─► NIC
//	        ▲                                           │
//	     fill ring ◄──────────── worker ◄── completion ring
//
// All sockets share one UMEM, so a frame received on one NIC leaves on another
// by moving a descriptor. The first socket registers the UMEM and chooses the
// mode; those opened with Config.Shared inherit it. Every socket has a fill
// and a completion ring of its own: a chunk filled here may be completed
// there, and goes wherever the worker puts it next.
//
// A socket must be opened in the network namespace of its NIC. Steering frames
// into it (an XDP program and its XSKMAP) is not this package's business.
package xsk
