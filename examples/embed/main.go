// Command embed runs LVS-NAT directors inside a Go program:
//
//	embed NIC,NIC VIP:PORT RIP:PORT... [-- NIC,NIC VIP:PORT RIP:PORT...]
//
// Each group is a Director of its own, with one TCP service. The program
// prints the services once a second until it is interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lvx-lb/lvx"
	"github.com/lvx-lb/lvx/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var all sync.WaitGroup
	var failed atomic.Bool
	for i, words := range groups(os.Args[1:]) {
		all.Go(func() {
			if err := balance(ctx, fmt.Sprintf("embed%d", i), words); err != nil {
				log.Print(err)
				failed.Store(true)
				stop()
			}
		})
	}
	all.Wait()
	if failed.Load() {
		os.Exit(1)
	}
}

func groups(words []string) [][]string {
	n := slices.Index(words, "--")
	if n < 0 {
		return [][]string{words}
	}
	return append([][]string{words[:n]}, groups(words[n+1:])...)
}

// balance runs one Director until ctx ends.
func balance(ctx context.Context, name string, words []string) error {
	if len(words) < 3 {
		return errors.New("usage: embed NIC,NIC VIP:PORT RIP:PORT... [-- ...]")
	}
	d, err := lvx.New(lvx.Config{
		NICs:    strings.Split(words[0], ","),
		AddVIPs: true,
		Name:    name,
		Conns:   10_000,
		Ready:   func() { fmt.Println(name, "ready") },
	})
	if err != nil {
		return err
	}
	defer d.Close()
	edits, err := rules(words[1], words[2:])
	if err != nil {
		return err
	}
	if err := d.Apply(ctx, edits); err != nil {
		return err
	}
	go show(ctx, name, d)
	return d.Run(ctx)
}

// rules is what `ipvsadm -A` and `ipvsadm -a` would say.
func rules(vip string, servers []string) ([]service.Edit, error) {
	address, err := netip.ParseAddrPort(vip)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", vip, err)
	}
	web := service.Service{Key: service.Key{Protocol: service.TCP, Address: address}, Scheduler: "rr"}
	edits := []service.Edit{{Op: service.AddService, Service: web}}
	for _, s := range servers {
		address, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", s, err)
		}
		edits = append(edits, service.Edit{
			Op: service.AddServer, Service: web, Server: service.Server{Address: address, Method: service.Masq, Weight: 1},
		})
	}
	return edits, nil
}

func show(ctx context.Context, name string, d *lvx.Director) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		status, err := d.Status(ctx)
		if err != nil {
			return
		}
		for _, s := range status {
			for _, server := range s.Servers {
				fmt.Println(name, s.Address, server.Address, server.Active, server.Inactive, server.Stats.Conns)
			}
		}
	}
}
