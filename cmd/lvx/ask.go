package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/lvx-lb/lvx/admin"
)

// runAdm is ipvsadm, and what ipvsadm leaves to sysctl.
func runAdm(ctx context.Context, args []string, std stdio) int {
	socket, args := socketAhead(args)
	if len(args) > 0 && args[0] == "sysctl" {
		return admin.RunSysctl(ctx, args[1:], std.out, std.err, socket)
	}
	return admin.Run(ctx, args, std.in, std.out, std.err, socket, admin.Names{})
}

// socketAhead takes --socket PATH from before words that are not lvx's own.
func socketAhead(args []string) (socket string, rest []string) {
	if len(args) > 0 {
		if path, ok := strings.CutPrefix(args[0], "--socket="); ok {
			return path, args[1:]
		}
		if args[0] == "--socket" && len(args) > 1 {
			return args[1], args[2:]
		}
	}
	return socketPath(), args
}

func runMark(ctx context.Context, args []string, std stdio) int {
	socket, args := socketAhead(args)
	return admin.RunMark(ctx, args, std.in, std.out, std.err, socket)
}

func runIpvsadm(ctx context.Context, args []string, std stdio) int {
	return admin.Run(ctx, args, std.in, std.out, std.err, socketPath(), admin.Names{})
}

// asking parses the options of a command that asks the director, behind which
// at most so many words may stand.
func asking(name string, args []string, std stdio, words int, more func(*options)) (socket string, rest []string, code int, ok bool) {
	o := optionsOf(name, std)
	o.StringVar(&socket, "socket", socketPath(), "`PATH` of the director's socket")
	if more != nil {
		more(o)
	}
	code, ok = o.parse(args, words)
	return socket, o.Args(), code, ok
}

func runInfo(ctx context.Context, args []string, std stdio) int {
	socket, _, code, ok := asking("info", args, std, 0, nil)
	if !ok {
		return code
	}
	c, err := admin.Dial(ctx, socket)
	if err != nil {
		return fail(std, err)
	}
	info, err := c.Info(ctx)
	if err != nil {
		return fail(std, err)
	}
	printInfo(std.out, info)
	return exitOK
}

// printInfo shows the frame balance as an equation and every counter that is
// not zero.
func printInfo(out io.Writer, info admin.Info) {
	n := info.Counters
	fmt.Fprintf(out, "lvx %s, %s, %d of %d connections\n", info.Version, modeOf(info), info.Conns, info.TableSize)
	if info.Workers > 1 {
		fmt.Fprintf(out, "%d workers, frames come to their owner %s\n", info.Workers, info.Placing)
	}
	fmt.Fprintln(out, "deviations from IPVS:", deviationsOf(info))
	left, right := n["received"]+n["originated"]+n["taken"], n["transmitted"]+n["dropped"]+n["passed-up"]+n["held"]+n["handed"]
	sign := "="
	if left != right {
		sign = "!="
	}
	fmt.Fprintf(out, "frames: received %d + originated %d %s transmitted %d + dropped %d + passed up %d + held %d\n",
		n["received"], n["originated"], sign, n["transmitted"], n["dropped"], n["passed-up"], n["held"])
	var rest []string
	for name, count := range n {
		if count > 0 && !slices.Contains([]string{"received", "originated", "transmitted", "dropped", "passed-up", "held"}, name) {
			rest = append(rest, fmt.Sprintf("  %-22s %d", name, count))
		}
	}
	slices.Sort(rest)
	if len(rest) > 0 {
		fmt.Fprintln(out, strings.Join(rest, "\n"))
	}
}

func modeOf(info admin.Info) string {
	if info.Mode == "" {
		return "replay"
	}
	return "AF_XDP mode " + info.Mode
}

func deviationsOf(info admin.Info) string {
	if info.Deviations == 0 {
		return "none that has a switch"
	}
	return strings.Join(info.Deviations.Names(), ", ")
}

func runCapture(ctx context.Context, args []string, std stdio) int {
	file := "-"
	var o *options
	socket, _, code, ok := asking("capture", args, std, 0, func(f *options) {
		o = f
		o.StringVar(&file, "w", "-", "`FILE` to write to, - for standard output")
	})
	switch {
	case !ok:
		return code
	case file == "-" && isTerminal(std.out):
		return o.refuse("a terminal shows no frames; give -w FILE, or | tcpdump -nr -")
	}
	c, err := admin.Dial(ctx, socket)
	if err != nil {
		return fail(std, err)
	}
	out := std.out
	if file != "-" {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return fail(std, err)
		}
		defer f.Close()
		out = f
	}
	// Who reads it may have had enough.
	if err := c.Capture(ctx, out); err != nil && ctx.Err() == nil && !errors.Is(err, syscall.EPIPE) {
		return fail(std, err)
	}
	return exitOK
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(interface{ Fd() uintptr })
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func runVersion(_ context.Context, args []string, std stdio) int {
	if code, ok := optionsOf("version", std).parse(args, 0); !ok {
		return code
	}
	fmt.Fprintln(std.out, "lvx", version())
	return exitOK
}

// version is that of the module, with the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
