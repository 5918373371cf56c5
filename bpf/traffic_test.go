package bpf

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// send puts frames on the wire at the peer's end of a veth.
func send(t *testing.T, nic string, frames ...[]byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	for _, f := range frames {
		must(t, unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: awaitLink(t, nic), Halen: 6}))
	}
}

func TestFramesFromTheWireAreSteered(t *testing.T) {
	for _, generic := range []bool{false, true} {
		t.Run(map[bool]string{false: "native", true: "generic"}[generic], func(t *testing.T) {
			d := newStand(t)
			must(t, d.SetSocket(d.public, 0, -1)) // so that what is lvx's is dropped and counted
			must(t, d.Attach(d.public, generic))
			local := listen(t, "n0", "10.9.0.1/24")
			pub := frame{dst: publicMAC}
			send(t, "p0",
				pub.ethernet(tcp("198.51.100.7:40000", "192.0.2.1:80")),
				pub.ethernet(tcp("[2001:db8:7::7]:40000", "[2001:db8::1]:80")),
				frame{dst: publicMAC, tags: []uint16{7}}.ethernet(tcp("198.51.100.7:40000", "192.0.2.7:80")),
				pub.ethernet(tcp("198.51.100.7:40000", "192.0.2.7:80")), // not without the tag
				frame{dst: macOf(t, "n0")}.udp("10.9.0.2", "10.9.0.1", 777, 5555, []byte("for the kernel")),
			)
			wantDatagram(t, local, []byte("for the kernel"))
			want := Counters{NoSocket: 3}
			for end := time.Now().Add(patience); d.count(t) != want && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if got := d.count(t); got != want {
				t.Errorf("counted %+v, want %+v", got, want)
			}
		})
	}
}
