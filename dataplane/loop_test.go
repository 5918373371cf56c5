package dataplane

import (
	"context"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// As soon as a descriptor is closed its number may be another file's, so a
// worker that ends waits for those who are about to write its eventfd.
func TestAWorkerEndsAfterWhoeverIsWakingIt(t *testing.T) {
	s := crowd(t, sizes{conns: 100, frames: 64, ring: 64})
	w := s.worker
	w.sleeper.wakers.Add(1) // somebody has seen that it sleeps
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	now := s.now
	go func() { done <- w.Run(ctx, func() Time { return now }) }()
	eventually(t, func() bool { return w.sleeper.event.Load() > 0 })
	event := uintptr(w.sleeper.event.Load() - 1)
	stop()
	eventually(t, func() bool { return w.sleeper.event.Load() == 0 })
	for range 1000 {
		if _, err := unix.FcntlInt(event, unix.F_GETFD, 0); err != nil {
			t.Fatalf("the eventfd, which somebody is about to write: %v", err)
		}
		runtime.Gosched()
	}
	w.sleeper.wakers.Add(-1)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
