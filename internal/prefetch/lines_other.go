//go:build !amd64

package prefetch

// lines loads them, as many at a time as the processor can. What the loads
// bring is used to end early for an impossible sum, so that they stay.
func lines(mem []byte, at []uint64) {
	sum := 0
	for _, a := range at {
		if sum += int(mem[a]); sum < 0 {
			return
		}
	}
}
