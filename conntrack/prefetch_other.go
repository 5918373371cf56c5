//go:build !amd64

package conntrack

// prefetch loads records of slots, as many at a time as the processor can. The
// condition, which never holds, keeps the loads alive.
func prefetch(slots []Record, lines []Index) {
	for _, i := range lines {
		if slots[i].probe == ^uint8(0) {
			return
		}
	}
}
