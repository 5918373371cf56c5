package bench

import "time"

// Histogram counts delays in buckets that grow with the delay: 32 from one
// power of two nanoseconds to the next, so a figure is right to three per
// cent.
type Histogram []uint64

const fine = 32

// Since returns what was counted after before was taken.
func (h Histogram) Since(before Histogram) Histogram {
	out := make(Histogram, len(h))
	for i := range h {
		out[i] = h[i] - before[i]
	}
	return out
}

// Count is how many delays were counted.
func (h Histogram) Count() (n uint64) {
	for _, c := range h {
		n += c
	}
	return n
}

// Quantile returns the delay that a share q of all was not above.
func (h Histogram) Quantile(q float64) time.Duration {
	left := uint64(q * float64(h.Count()))
	for i, c := range h {
		if left < c {
			return lower(i)
		}
		left -= c
	}
	return h.Largest()
}

// Largest returns the longest delay.
func (h Histogram) Largest() time.Duration {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i] > 0 {
			return lower(i)
		}
	}
	return 0
}

// lower is the shortest delay of a bucket.
func lower(bucket int) time.Duration {
	if bucket < fine {
		return time.Duration(bucket)
	}
	return time.Duration(fine+bucket%fine) << (bucket/fine - 1)
}
