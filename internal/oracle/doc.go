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
// That the comparison finds what is wrong is tested, too: by faults at the seams
// of lvx in memory and around the program (fault_test.go, faults_live_test.go),
// and by mistakes in lvx's source (mistake_test.go). With each of these the test
// is built anew, beside the virtual machine, and the recording that tells must
// show a difference. A mistake whose place in the source has changed fails every
// `go test`, so that the table is renewed.
//
// The virtual machine runs with LVX_IPVS=1, as `make test-ipvs` does;
// IPVS_SHORT=1 plays fewer, IPVS_SEED=N or N-M and IPVS_SCENARIO=REGEXP name some,
// IPVS_TIMES=N plays all several times. Without it the tests replay the
// recordings that are checked in, those that IPVS_SCENARIO names.
//
// On 20 November 2026, on two cores without other work: 289 scenarios with 13,927
// packets, 110 of them with 2,577 packets played to the program too, no difference
// beyond the list and none recorded again, and 70 mistakes beside them, all found
// (102 seconds of the other core), in 14 minutes. The short form: 199 scenarios, 89
// of them to the program too, in 9 minutes.
package oracle
