package lvx

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/lvx-lb/lvx/internal/netlab"
	"github.com/lvx-lb/lvx/service"
)

// What a command costs a running director, by how many lines of rules it has.
// Others on the machine take their time, so the processor's is shown too.

// forwarding runs a director between two veths, in a network of its own, until
// the end of b.
func forwarding(b testing.TB, addVIPs bool) *Director {
	if os.Geteuid() != 0 {
		b.Skip("network namespaces and AF_XDP need root")
	}
	net, err := netlab.TwoNIC()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { net.Close() })
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan *Director), make(chan error, 1)
	go func() {
		ended <- net.Director.Do(func() (err error) {
			var d *Director
			d, err = New(Config{
				NICs: []string{net.Public, net.Private}, Public: []string{net.Public}, AddVIPs: addVIPs, Conns: 1000, Rings: 64,
				Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Ready: func() { ready <- d },
			})
			if err != nil {
				return err
			}
			defer d.Close()
			return d.Run(ctx)
		})
	}()
	b.Cleanup(func() { stop(); <-ended })
	select {
	case d := <-ready:
		return d
	case err := <-ended:
		ended <- err
		b.Fatal(err)
	}
	return nil
}

// lines makes the edits of n services with ten servers each.
func lines(n int) (edits []service.Edit) {
	for k := range n {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(k >> 8), byte(k)}), 80)
		v := service.Service{Key: service.Key{Protocol: service.TCP, Address: at}, Scheduler: "rr"}
		edits = append(edits, service.Edit{Op: service.AddService, Service: v})
		for s := range 10 {
			edits = append(edits, service.Edit{Op: service.AddServer, Service: v, Server: server(k*10 + s)})
		}
	}
	return edits
}

func server(k int) service.Server {
	at := netip.AddrFrom4([4]byte{172, 25, 254, byte(k%250 + 2)})
	return service.Server{Address: netip.AddrPortFrom(at, uint16(1000+k/250)), Weight: 1}
}

// apply carries out edits and returns the processor's time.
func apply(b testing.TB, d *Director, edits ...service.Edit) time.Duration {
	before := used()
	if err := d.Apply(b.Context(), edits); err != nil {
		b.Fatal(err)
	}
	return used() - before
}

func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkEdit(b *testing.B) {
	for _, n := range []int{100, 1000, 4000} {
		b.Run(fmt.Sprint(11*n), func(b *testing.B) {
			d := forwarding(b, false)
			all, cpu := lines(n), time.Duration(0)
			apply(b, d, all...)
			add := service.Edit{Op: service.AddServer, Service: all[0].Service, Server: server(60000)}
			remove := add
			remove.Op = service.DeleteServer
			for b.Loop() {
				cpu += apply(b, d, add) + apply(b, d, remove)
			}
			b.ReportMetric(float64(cpu.Microseconds())/float64(2*b.N), "cpu-µs/edit")
		})
	}
}

// BenchmarkRestore carries out all lines together, with the addresses.
func BenchmarkRestore(b *testing.B) {
	for _, n := range []int{100, 1000, 4000} {
		b.Run(fmt.Sprint(11*n), func(b *testing.B) {
			d := forwarding(b, true)
			all, cpu := lines(n), time.Duration(0)
			for b.Loop() {
				cpu += apply(b, d, all...)
				b.StopTimer()
				apply(b, d, service.Edit{Op: service.Clear})
				b.StartTimer()
			}
			b.ReportMetric(float64(cpu.Milliseconds())/float64(b.N), "cpu-ms/restore")
		})
	}
}
