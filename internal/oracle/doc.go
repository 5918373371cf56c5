// Package oracle compares lvx with the kernel's own IPVS. Its tests boot
// Debian's kernel with ip_vs in a virtual machine, play scenarios to it
// (folder guest) and play the recording, with the times it has, to the fast
// path of package dataplane. Every frame, the chosen servers, the connections
// and the counts are compared; what may differ is one list with reasons.
//
// Scenarios are scripts in testdata/scenarios and testdata/golden, all cells of
// the TCP tables, the choices of all schedulers, and random ones made from a
// seed. Each step is due at a time of its own, which keeps clear of every timer
// that may or may not have run out in the kernel then (timers_test.go). A
// recording in which a step was late is made again, three times at most, and is
// never judged. The guest's clock counts its instructions, so load on this
// machine makes a run slower and changes nothing else.
//
// A part of the scenarios is played once more in the same machine, to lvx as a
// program: `lvx run --strict`, in a network namespace with the NICs, addresses
// and routes of the others (live_test.go).
// Steering, AF_XDP sockets, timers, mirrored routes and what the kernel answers
// to frames that are passed up are compared there, by the same list of what may
// differ.
//
// The virtual machine runs with LVX_IPVS=1, as `make test-ipvs` does;
// IPVS_SHORT=1 plays fewer, IPVS_SEED=N and IPVS_SCENARIO=REGEXP name some,
// IPVS_TIMES=N plays all several times. Without it the tests replay the
// recordings that are checked in.
//
// The whole of it, on 20 November 2026 on two busy cores and before the program
// was played to: 347 scenarios with 18,332 packets in 16 minutes, none recorded
// again, and no difference beyond the list. The short form: 158 scenarios with
// 9,091 packets in 5 minutes. What is played to the program takes about twice
// as long there as with the kernel.
package oracle
