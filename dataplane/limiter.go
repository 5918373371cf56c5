package dataplane

import (
	"sync"

	"github.com/lvx-lb/lvx/packet"
)

// bucket is a token bucket: rate tokens a second, at most burst of them.
type bucket struct {
	rate, burst int64
	tokens      int64 // in 1/1e9
	last        Time
}

func (b *bucket) take(now Time) bool {
	if b.last == 0 {
		b.tokens = b.burst * int64(Second)
	}
	// A long pause fills the bucket; more would overflow.
	since := min(int64(now-b.last), b.burst*int64(Second)/b.rate+1)
	b.tokens = min(b.tokens+since*b.rate, b.burst*int64(Second))
	b.last = max(now, 1)
	if b.tokens < int64(Second) {
		return false
	}
	b.tokens -= int64(Second)
	return true
}

const limiterSlots = 4096

// limiter bounds the ICMP errors that the director sends, as Linux does: one a
// second to a destination after a burst of 6 (inet_peer_xrlim_allow), 1,000 a
// second in all after a burst of 50 (icmp_global_allow). Destinations share a
// fixed number of places: a new one takes that of another. All workers of a
// director share one limiter.
type limiter struct {
	mu   sync.Mutex
	all  bucket
	seed uint64
	one  [limiterSlots]struct {
		addr packet.Addr
		bucket
	}
}

func newLimiter(seed uint64) *limiter {
	l := new(limiter)
	l.init(seed)
	return l
}

func (l *limiter) init(seed uint64) {
	l.seed, l.all = seed, bucket{rate: 1000, burst: 50}
}

// allow never waits: an error that is due in the very moment of another
// worker's is limited.
func (l *limiter) allow(now Time, dst packet.Addr) bool {
	if !l.mu.TryLock() {
		return false
	}
	defer l.mu.Unlock()
	h := (dst.Lo ^ dst.Hi*0x9e3779b97f4a7c15 ^ l.seed) * 0xbf58476d1ce4e5b9
	e := &l.one[h>>52]
	if e.addr != dst {
		e.addr, e.bucket = dst, bucket{rate: 1, burst: 6}
	}
	return e.take(now) && l.all.take(now)
}
