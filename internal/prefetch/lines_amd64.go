package prefetch

//go:noescape
func lines(mem []byte, at []uint64)
