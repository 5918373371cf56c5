// Package prefetch has the processor bring memory near before it is needed. It
// stands below conntrack and nic, whose lines a batch of packets needs all at a
// time.
package prefetch

// Lines asks for the lines of mem at these offsets, which lie in it. A load
// would bring them too, but it is over only when its line is there, and a
// processor looks no further ahead than some hundred instructions; this waits
// for nothing. On processors other than amd64 it loads.
func Lines(mem []byte, at []uint64) { lines(mem, at) }
