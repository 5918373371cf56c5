package conntrack

// Prefetch asks for the first two lines of the look-ups of all hashes, so that
// they come together. It does not wait for them.
func (t *Table) Prefetch(hashes []uint64) {
	var lines [64]Index
	for len(hashes) > 0 {
		n := min(len(hashes), len(lines)/2)
		for k, hash := range hashes[:n] {
			i := t.home(hash)
			lines[2*k], lines[2*k+1] = i, t.step(i, 1)
		}
		prefetch(t.slots, lines[:2*n])
		hashes = hashes[n:]
	}
}
