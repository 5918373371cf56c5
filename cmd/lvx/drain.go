package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lvx-lb/lvx/admin"
	"github.com/lvx-lb/lvx/service"
)

// runDrain empties a server and tells what is left.
func runDrain(ctx context.Context, args []string, std stdio) int {
	words := []string{"-d"} // as ipvsadm -d names a server
	var deadline time.Duration
	var o *options
	socket, _, code, ok := asking("drain", args, std, 0, func(f *options) {
		o = f
		o.note = "At most 32 drains and captures run at a time."
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
		f.DurationVar(&deadline, "deadline", 0, "`TIME`, as 5m, after which connections that are left end: TCP is reset both ways, SCTP aborted with its next packets, others are forgotten; 0 = never")
	})
	if !ok {
		return code
	}
	if len(words) < 5 || !slices.Contains(words, "-r") {
		return o.refuse("which server? give -t VIP:PORT (or -u, --sctp-service, -f) and -r RIP:PORT")
	}
	named, err := admin.Parse(words)
	if err != nil {
		return o.refuse(err.Error())
	}
	c, err := admin.Dial(ctx, socket)
	if err != nil {
		return fail(std, err)
	}
	server := named.Edit.Server.Address
	x := service.Drain{Service: named.Edit.Service.Key, Server: server, Deadline: deadline}
	var last service.Left
	if err := c.Drain(ctx, x, progress(std.out, x, &last)); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("interrupted; %v stays at weight 0 with the connections it has", server)
		}
		return fail(std, err)
	}
	fmt.Fprintf(std.out, "%v has no connections any more\n", server)
	if last.Persistent > 0 && !last.Ending {
		fmt.Fprintf(std.out, "%d clients of a persistent service come back to it until it is deleted\n", last.Persistent)
	}
	return exitOK
}

// progress prints what is left whenever it has changed, and keeps it in last.
func progress(out io.Writer, x service.Drain, last *service.Left) func(service.Left) error {
	begin := time.Now()
	return func(left service.Left) error {
		changed := left != *last
		if *last = left; !changed || left.Empty() {
			return nil
		}
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
