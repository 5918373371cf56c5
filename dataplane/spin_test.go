package dataplane

import (
	"sync"
	"testing"
)

func TestASpinLockLetsOneInAtATime(t *testing.T) {
	var l spin
	var group sync.WaitGroup
	const workers, times = 4, 20_000
	inside, count := 0, 0
	for range workers {
		group.Go(func() {
			for i := range times {
				if i%2 == 0 {
					l.Lock()
				} else {
					for !l.TryLock() {
					}
				}
				if inside++; inside != 1 {
					t.Errorf("%d are inside", inside)
				}
				count++
				inside--
				l.Unlock()
			}
		})
	}
	group.Wait()
	if count != workers*times {
		t.Errorf("counted %d, want %d", count, workers*times)
	}
}
