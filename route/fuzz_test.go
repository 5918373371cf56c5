package route

import (
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzMessages: whatever bytes come, nothing panics, and what is taken for
// good is whole.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 12))
	four := make([]byte, 12)
	four[0], four[1], four[7] = unix.AF_INET, 24, unix.RTN_UNICAST
	four = append(four, 8, 0, unix.RTA_DST, 0, 10, 9, 0, 0)
	four = append(four, 8, 0, unix.RTA_OIF, 0, 2, 0, 0, 0)
	four = append(four, 20, 0, unix.RTA_MULTIPATH, 0, 16, 0, 0, 1, 3, 0, 0, 0, 8, 0, unix.RTA_GATEWAY, 0, 10, 0, 0, 1)
	f.Add(four)
	six := make([]byte, 12)
	six[0], six[1], six[7] = unix.AF_INET6, 64, unix.RTN_UNICAST
	f.Add(append(six, 12, 0, unix.RTA_VIA, 0, unix.AF_INET, 0, 10, 0, 0, 1, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		tabs := newTables(newPaths())
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			var r route
			if r.decode(b, family) {
				if !r.prefix.IsValid() || r.prefix != r.prefix.Masked() || r.prefix.Addr().Is6() != r.path.v6 {
					t.Errorf("route %+v", r)
				}
				tabs.load(&r)
				tabs.add(&r, first)
				if !tabs.remove(&r) {
					t.Errorf("route %+v is not found again", r)
				}
			}
			if r, ok := decodeRule(b, family); ok {
				steps([]rule{r}, family == unix.AF_INET6, tabs, nil)
			}
		}
		if at, k, ok := decodeNeighbour(b); ok && (!at.ip.IsValid() || k.state == Unknown) {
			t.Errorf("neighbour %v %v", at, k)
		}
		if a, ok := decodeAddress(b); ok && !a.Prefix.IsValid() {
			t.Errorf("address %v", a)
		}
		if id, _, ok := decodeNexthop(b); ok && id == 0 {
			t.Errorf("nexthop object without number")
		}
	})
}
