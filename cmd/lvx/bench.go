package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/bench"
)

// benchCommands are the words that may follow `lvx bench`.
var benchCommands = []command{
	{name: "bench run", does: "measure lvx and its peers side by side, in namespaces of their own"},
	{name: "bench gen", use: "-i NIC -m MAC -d ADDRESS", does: "send frames out of a NIC as fast as the kernel can"},
	{name: "bench sink", use: "-i NIC", does: "drop and count such frames at another NIC"},
	{name: "bench bare", use: "--public NIC --private NIC", does: "forward between two NICs and only swap MAC addresses"},
	{name: "bench profile", does: "have lvx forward a mixed load and write a profile for the compiler"},
}

// misuse is what is wrong with the values of options.
type misuse struct{ error }

// benchTools are what benchCommands do: they define their options and return
// what to do with them.
var benchTools = map[string]func(*options) func(context.Context, stdio) error{
	"run": benchRun, "gen": benchGen, "sink": benchSink, "bare": benchBare, "profile": benchProfile,
}

func runBench(ctx context.Context, args []string, std stdio) int {
	var name string
	if len(args) > 0 {
		name = args[0]
	}
	o := optionsOf("bench "+name, std)
	define, found := benchTools[name]
	switch {
	case name == "-h" || name == "--help" || name == "help":
		tellCommands(std.out, benchCommands)
		return exitOK
	case name == "":
		return optionsOf("bench", std).refuse("which command?")
	case !found:
		fmt.Fprintf(std.err, "lvx bench: no command %q; `lvx bench -h` lists them\n", name)
		return exitUsage
	}
	run := define(o)
	if code, ok := o.parse(args[1:], 0); !ok {
		return code
	}
	var wrong misuse
	switch err := run(ctx, std); {
	case errors.As(err, &wrong), errors.Is(err, bench.ErrTraffic):
		return o.refuse(err.Error())
	case errors.Is(err, fs.ErrPermission):
		return fail(std, fmt.Errorf("lvx bench needs root: %w", err))
	case err != nil && !errors.Is(err, context.Canceled):
		return fail(std, err)
	}
	return exitOK
}

func benchRun(f *options) func(context.Context, stdio) error {
	var o bench.Options
	var only, skip, flows string
	parts := strings.Join(bench.Parts, ",")
	f.BoolVar(&o.Short, "short", false, "fewer figures, in three minutes")
	f.IntVar(&o.Rounds, "rounds", 0, "how often each figure is taken (3)")
	f.DurationVar(&o.Window, "window", 0, "length of each figure (1s, short 500ms)")
	f.BoolVar(&o.Urgent, "urgent", true, "give generator and directors a nice value of -20")
	f.StringVar(&only, "only", "", "parts to take, of "+parts)
	f.StringVar(&skip, "skip", "", "parts to leave out")
	f.StringVar(&flows, "flows", "", "numbers of flows (1,1000,100000,1000000)")
	dir := f.String("dir", "bench/results", "`DIR` for the result")
	host := f.String("host", bench.HostName(), "`NAME` of this machine in the result")
	return func(ctx context.Context, std stdio) (err error) {
		if o.Self, err = os.Executable(); err != nil {
			return err
		}
		o.Only, o.Skip = listed(only), listed(skip)
		o.Say, o.Command = std.err, "lvx "+strings.Join(os.Args[1:], " ")
		for _, n := range listed(flows) {
			count, err := strconv.Atoi(n)
			if err != nil || count < 1 {
				return misuse{fmt.Errorf("%q is no number of flows", n)}
			}
			o.Flows = append(o.Flows, count)
		}
		if err := o.Check(); err != nil {
			return misuse{err}
		}
		result, err := bench.Run(ctx, o)
		if err != nil {
			return err
		}
		path, err := result.WriteFiles(*dir, *host)
		if err != nil {
			return err
		}
		fmt.Fprintln(std.err, "written to", path)
		result.Write(std.out, nil)
		return nil
	}
}

func benchProfile(f *options) func(context.Context, stdio) error {
	to := f.String("to", "lvx.pprof", "`FILE` to write")
	window := f.Duration("window", 5*time.Second, "length of each sort of traffic")
	return func(ctx context.Context, std stdio) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		path, err := filepath.Abs(*to)
		if err != nil {
			return err
		}
		return bench.Profile(ctx, bench.Options{Self: self, Window: *window, Urgent: true, Say: std.err}, path)
	}
}

// listed are the words of a list with commas.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

func benchBare(f *options) func(context.Context, stdio) error {
	public := f.String("public", "", "first `NIC`")
	private := f.String("private", "", "second `NIC`")
	return func(ctx context.Context, std stdio) error {
		if *public == "" || *private == "" {
			return misuse{errors.New("which NICs? give --public and --private")}
		}
		for _, name := range []string{*public, *private} {
			if _, err := findNIC(name); err != nil {
				return err
			}
		}
		return bench.Bare(ctx, *public, *private, func() { fmt.Fprintln(std.out, "ready") })
	}
}
