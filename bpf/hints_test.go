package bpf

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// samePlace returns UDP ports of an address whose services share a hint.
func samePlace(t *testing.T, d *stand, l Link, addr netip.Addr, n int) (ports []uint16) {
	t.Helper()
	var want uint32
	for port := uint16(1); port != 0 && len(ports) < n; port++ {
		e, err := endpointOf(l, 17, addr, port)
		must(t, err)
		if at := e.hash() % d.objects.ServiceHints.MaxEntries(); len(ports) == 0 || at == want {
			ports, want = append(ports, port), at
		}
	}
	return ports
}

func TestKeysThatShareAHintAreToldApart(t *testing.T) {
	d := newStand(t)
	l, addr := Link{Ifindex: d.public}, netip.MustParseAddr("203.0.113.9")
	r := rand.New(rand.NewPCG(3, 4))
	ports := samePlace(t, d, l, addr, 6)
	for _, e := range servicesOfTests { // none of any port
		if e.port == 0 {
			must(t, d.RemoveService(d.link(e), e.proto, netip.MustParseAddr(e.addr), 0))
		}
	}
	there := map[uint16]bool{}
	for range 300 {
		port := ports[r.IntN(len(ports))]
		if there[port] = !there[port]; there[port] {
			must(t, d.AddService(l, 17, addr, port))
		} else {
			must(t, d.RemoveService(l, 17, addr, port))
		}
		for _, port := range ports {
			want := pass
			if there[port] {
				want = redirect
			}
			f := frame{dst: publicMAC}.ethernet(udp("198.51.100.7:40000", fmt.Sprintf("203.0.113.9:%d", port)))
			if got := d.run(t, d.public, 0, f); got != want {
				t.Fatalf("port %d of %v: verdict %d, want %d", port, there, got, want)
			}
		}
	}
}

// The program reads hints while they are written.
func TestAKeyIsSteeredWhileOthersOfItsHintComeAndGo(t *testing.T) {
	d := newStand(t)
	l, addr := Link{Ifindex: d.public}, netip.MustParseAddr("203.0.113.9")
	ports := samePlace(t, d, l, addr, 4)
	must(t, d.AddService(l, 17, addr, ports[1]))
	over := make(chan error)
	go func() {
		var err error
		for range 3000 {
			for _, port := range []uint16{ports[0], ports[2], ports[3]} {
				err = errors.Join(err, d.AddService(l, 17, addr, port))
			}
			for _, port := range []uint16{ports[2], ports[0], ports[3]} {
				err = errors.Join(err, d.RemoveService(l, 17, addr, port))
			}
		}
		over <- err
	}()
	f := frame{dst: publicMAC}.ethernet(udp("198.51.100.7:40000", fmt.Sprintf("203.0.113.9:%d", ports[1])))
	for missed := 0; ; {
		select {
		case err := <-over:
			must(t, err)
			if missed > 0 {
				t.Errorf("%d frames were not steered", missed)
			}
			return
		default:
			if d.run(t, d.public, 0, f) != redirect {
				missed++
			}
		}
	}
}

func TestAClearedSteeringHasNoHints(t *testing.T) {
	d := newStand(t)
	must(t, d.Clear())
	for _, p := range []endpoints{d.services(), d.replies(), d.own()} {
		for at := range p.hints.MaxEntries() {
			var h steerHint
			must(t, p.hints.Lookup(at, &h))
			if h != (steerHint{}) {
				t.Errorf("%s: hint %d is %+v", p.what, at, h)
			}
		}
	}
}

// A director may crash at any step, and the next one goes on with its maps.
func TestAClearedSteeringForgetsHalfAChange(t *testing.T) {
	d := newStand(t)
	l, addr := Link{Ifindex: d.public}, netip.MustParseAddr("203.0.113.9")
	e, err := endpointOf(l, 17, addr, 53)
	must(t, err)
	must(t, put(d.objects.Services, &e, uint32(1))) // and no hint
	must(t, d.Clear())
	must(t, d.AddService(l, 17, addr, 53))
	f := frame{dst: publicMAC}.ethernet(udp("198.51.100.7:40000", "203.0.113.9:53"))
	if got := d.run(t, d.public, 0, f); got != redirect {
		t.Errorf("verdict %d, want %d", got, redirect)
	}
}

func TestDoorsThatShareAnEntranceAreToldApart(t *testing.T) {
	d := newStand(t)
	syn := tcp("198.51.100.7:40000", "192.0.2.1:80")
	other := MAC{2, 0, 0, 0, 1, 1 ^ 7} // of the same entrance
	for _, step := range []struct {
		macs      []MAC
		got, want [2]int
	}{
		{macs: []MAC{publicMAC, other}, want: [2]int{redirect, redirect}},
		{macs: []MAC{other}, want: [2]int{pass, redirect}},
		{macs: []MAC{publicMAC, other}, want: [2]int{redirect, redirect}},
		{macs: []MAC{publicMAC}, want: [2]int{redirect, pass}},
		{macs: nil, want: [2]int{pass, pass}},
	} {
		must(t, d.SetMACs(d.public, step.macs))
		for i, mac := range []MAC{publicMAC, other} {
			step.got[i] = d.run(t, d.public, 0, frame{dst: mac}.ethernet(syn))
		}
		if step.got != step.want {
			t.Errorf("doors %v: verdicts %v, want %v", step.macs, step.got, step.want)
		}
	}
}
