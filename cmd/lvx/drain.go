package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/service"
)

// runDrain empties a server and tells what is left.
func runDrain(ctx context.Context, args []string, std stdio) int {
	words := []string{"-d"} // as ipvsadm -d names a server
	var deadline time.Duration
	socket, code, ok := asking("drain", args, std, func(f *flag.FlagSet) {
		for name, use := range map[string]string{
			"t": "TCP service `VIP:PORT`", "u": "UDP service `VIP:PORT`", "sctp-service": "SCTP service `VIP:PORT`",
			"f": "service by firewall `MARK`", "r": "the server, `RIP:PORT`",
		} {
			f.Func(name, use, func(value string) error {
				option := "-" + name
				if len(name) > 1 {
					option = "-" + option
				}
				words = append(words, option, value)
				return nil
			})
		}
		f.BoolFunc("6", "the mark's service is one of IPv6", func(string) error {
			words = append(words, "-6")
			return nil
		})
		f.DurationVar(&deadline, "deadline", 0, "after which connections that are left end: TCP is reset both ways, others are forgotten; 0 = never")
	})
	if !ok {
		return code
	}
	named, err := admin.Parse(words)
	if err != nil {
		fmt.Fprintln(std.err, "lvx drain:", err)
		return exitUsage
	}
	c, err := admin.Dial(ctx, socket)
	if err != nil {
		return fail(std, err)
	}
	server := named.Edit.Server.Address
	x := service.Drain{Service: named.Edit.Service.Key, Server: server, Deadline: deadline}
	if err := c.Drain(ctx, x, progress(std.out, x)); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("interrupted; %v stays at weight 0 with the connections it has", server)
		}
		return fail(std, err)
	}
	fmt.Fprintf(std.out, "%v has no connections any more\n", server)
	return exitOK
}

// progress prints what is left whenever it has changed.
func progress(out io.Writer, x service.Drain) func(service.Left) error {
	begin, last := time.Now(), service.Left{}
	return func(left service.Left) error {
		if left == last || left.Empty() {
			return nil
		}
		last = left
		line := fmt.Sprintf("%v has %d active and %d inactive connections", x.Server, left.Active, left.Inactive)
		if left.Persistent > 0 {
			line += fmt.Sprintf(", %d clients come back to it", left.Persistent)
		}
		switch rest := (x.Deadline - time.Since(begin)).Round(time.Second); {
		case left.Ending:
			line += "; they are being ended"
		case x.Deadline > 0:
			line += fmt.Sprintf("; they end in %v", max(rest, 0))
		}
		_, err := fmt.Fprintln(out, line)
		return err
	}
}
