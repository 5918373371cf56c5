// Package dataplane is the fast path: it turns received frames into frames to
// send. It sits between the queues of nic and the connection table of
// conntrack and knows no kernel, no clock and no configuration file.
//
// One packet's way:
//
//	w.parse(b)       // headers, link; a bad frame gets Drop and a reason
//	w.track(b, i)    // the connection table gives connection and direction
//	w.schedule(b, i) // if it gives nothing: pick a server, insert
//	w.rewrite(b, i)  // endpoint, checksums, TTL, state, hop; where it goes
//
// Between parse and track, the table's lines of a whole Batch are touched, so
// that they come together. Nearly all packets take the shortcut, which is the
// same in few steps. A Worker is the one goroutine that owns queues, frames and
// connections; everything that it shares with others (Hops, services'
// schedulers, counts) is made for that.
//
// # Terminology
//
//   - link: a NIC with its VLAN tags; packets arrive on one and leave on one
//   - slot: the number of a real server of one service, kept until its last
//     connection is gone
//   - hop: next MAC address and link, in the table Hops
//   - verdict, reason: what becomes of a frame; why it was dropped
//   - recut: a frame whose bytes go out in other frames (fragments)
package dataplane
