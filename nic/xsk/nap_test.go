package xsk

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func event(t *testing.T) []unix.PollFd {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
}

func TestNapEndsWithWhatIsPolledOrByItself(t *testing.T) {
	polled := event(t)
	if Nap(polled, time.Microsecond) || polled[0].Revents != 0 {
		t.Errorf("nothing came, and the nap ended with %+v", polled)
	}
	if _, err := unix.Write(int(polled[0].Fd), []byte{7: 1}); err != nil {
		t.Fatal(err)
	}
	if !Nap(polled, time.Second-1) || polled[0].Revents != unix.POLLIN {
		t.Errorf("something came, and the nap ended with %+v", polled)
	}
}

// Who naps keeps the processor, so the collector has to send a signal.
func TestGarbageCollectionEndsANap(t *testing.T) {
	polled, begun, ended := event(t), make(chan struct{}), make(chan bool)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		close(begun)
		ended <- Nap(polled, time.Second-1)
	}()
	<-begun
	for {
		runtime.GC()
		select {
		case early := <-ended:
			if !early {
				t.Error("the nap ended by itself, the collector waited for it")
			}
			return
		default:
		}
	}
}
