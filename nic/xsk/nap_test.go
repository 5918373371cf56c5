package xsk

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// alarm returns an eventfd and an epoll that looks at it.
func alarm(t *testing.T) (event, epoll int) {
	t.Helper()
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	must(t, err)
	t.Cleanup(func() { unix.Close(event) })
	epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	must(t, err)
	t.Cleanup(func() { unix.Close(epoll) })
	must(t, unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(event)}))
	return event, epoll
}

// undisturbed naps again after each signal, of which Go's scheduler sends some.
func undisturbed(epoll int, events []unix.EpollEvent, d time.Duration) int {
	for {
		if n := Nap(epoll, events, d); n >= 0 {
			return n
		}
	}
}

func TestNapEndsWithWhatComesOrByItself(t *testing.T) {
	event, epoll := alarm(t)
	events := make([]unix.EpollEvent, 2)
	if n := undisturbed(epoll, events, time.Millisecond); n != 0 {
		t.Errorf("nothing came, and the nap ended with %d", n)
	}
	if _, err := unix.Write(event, []byte{7: 1}); err != nil {
		t.Fatal(err)
	}
	if n := undisturbed(epoll, events, time.Second); n != 1 || int(events[0].Fd) != event {
		t.Errorf("something came, and the nap ended with %d, %+v", n, events)
	}
}

// Who naps keeps the processor, so the collector has to send a signal.
func TestGarbageCollectionEndsANap(t *testing.T) {
	_, epoll := alarm(t)
	begun, ended := make(chan struct{}), make(chan bool)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		close(begun)
		ended <- Nap(epoll, make([]unix.EpollEvent, 1), time.Minute) < 0
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
