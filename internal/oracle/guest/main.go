// Command guest plays scenarios to the kernel's IPVS, or to lvx, inside a
// virtual machine and records what it does.
//
// A second network namespace, "ipvs", has the same NICs, addresses and routes
// as the first. There the scenario's commands are given. Every frame arrives
// in both, so that a recording also tells what a machine without services
// would have done. NICs are taps, whose far ends this program holds: a frame is
// forwarded before the write that brings it returns.
//
//	guest [-lvx OPTIONS] SCENARIOS RECORDING
//
// reads lines of JSON and writes them with results, gzipped. With -lvx they are
// played to lvx, started with these options in a third namespace, "lvx".
package main

import (
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("guest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	// The main thread enters namespaces; nothing else runs on it.
	runtime.LockOSThread()
	options := flag.NewFlagSet("guest", flag.ContinueOnError)
	lvx := options.String("lvx", "", "play to lvx, run with these `OPTIONS`")
	if err := options.Parse(args); err != nil {
		return err
	}
	if options.NArg() != 2 {
		return errors.New("usage: guest [-lvx OPTIONS] SCENARIOS RECORDING")
	}
	file, err := os.Open(options.Arg(0))
	if err != nil {
		return err
	}
	defer file.Close()
	all, err := record.Read(file)
	if err != nil {
		return err
	}
	d, err := open(*lvx)
	if err != nil {
		return err
	}
	out, err := os.Create(options.Arg(1))
	if err != nil {
		return err
	}
	defer out.Close()
	zip := gzip.NewWriter(out)
	return errors.Join(d.playAll(all, zip), d.end(), zip.Close())
}

func (d *director) playAll(all []*record.Scenario, to io.Writer) error {
	for i, s := range all {
		if err := d.play(s); err != nil {
			return fmt.Errorf("scenario %s: %w", s.Scenario, err)
		}
		if err := record.Write(to, s); err != nil {
			return err
		}
		all[i] = nil // its memory is needed
	}
	return nil
}

// open takes hold of the NICs of the kernel's side, or of those of lvx if there
// are options for it.
func open(lvx string) (*director, error) {
	d, names := &director{subject: &ipvs{marked: true}, kernel: release()}, []string{"", "ipvs"}
	if lvx != "" {
		d.subject, names = &program{options: strings.Fields(lvx)}, []string{"lvx"}
	}
	for _, name := range names {
		if err := enter(name); err != nil {
			return nil, err
		}
		side, err := openTaps()
		if err != nil {
			return nil, fmt.Errorf("open NICs: %w", err)
		}
		d.sides = append(d.sides, side)
	}
	return d, nil
}

func release() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return unix.ByteSliceToString(u.Release[:])
}
