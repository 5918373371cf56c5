package conntrack

import "github.com/lvx-lb/lvx/internal/prefetch"

// Prefetch asks for the first two lines of the look-ups of all hashes, so that
// they come together. It does not wait for them.
func (t *Table) Prefetch(hashes []uint64) {
	var at [64]uint64
	for len(hashes) > 0 {
		n := min(len(hashes), len(at)/2)
		for k, hash := range hashes[:n] {
			i := t.home(hash)
			at[2*k], at[2*k+1] = uint64(i)*recordSize, uint64(t.step(i, 1))*recordSize
		}
		prefetch.Lines(t.lines, at[:2*n])
		hashes = hashes[n:]
	}
}
