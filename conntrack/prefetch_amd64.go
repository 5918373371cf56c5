package conntrack

// prefetch asks the processor for records of slots. A load would do so too, but
// is over only when its line is there, and the processor looks no further ahead
// than some hundred instructions.
//
//go:noescape
func prefetch(slots []Record, lines []Index)
