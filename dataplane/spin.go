package dataplane

import (
	"runtime"
	"sync/atomic"
)

// patience is how often a worker looks at a lock before it gives its core to
// somebody else, who may be the holder.
const patience = 2000

// spin is a lock that is held for some ten nanoseconds when a connection
// begins. A sync.Mutex would put workers to sleep over it.
type spin struct {
	held atomic.Bool
	_    [60]byte // what it guards is another line than what others look at
}

// Lock waits until nobody holds l.
func (l *spin) Lock() {
	for !l.held.CompareAndSwap(false, true) {
		for i := 0; l.held.Load(); i++ {
			if i == patience {
				runtime.Gosched()
				i = 0
			}
		}
	}
}

// TryLock reports whether it took l at once.
func (l *spin) TryLock() bool { return l.held.CompareAndSwap(false, true) }

// Unlock lets the next one in.
func (l *spin) Unlock() { l.held.Store(false) }
