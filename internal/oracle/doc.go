// Package oracle compares lvx with the kernel's own IPVS. Its tests boot
// Debian's kernel with ip_vs in a virtual machine, play scenarios to it
// (folder guest) and play the recording, with the times it has, to the fast
// path of package dataplane. Every frame, the chosen servers, the connections
// and the counts are compared; what may differ is one list with reasons.
//
// Scenarios are scripts in testdata/scenarios, and random ones made from a
// seed. The virtual machine runs with LVX_IPVS=1, as `make test-ipvs` does;
// IPVS_SHORT=1 plays fewer, IPVS_ONLY=NAME,... those scripts alone. Without it
// the tests replay the recording that is checked in.
package oracle
