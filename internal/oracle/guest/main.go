// Command guest plays scenarios to the kernel's IPVS inside a virtual machine
// and records what it does.
//
// A second network namespace, "ipvs", has the same NICs, addresses and routes
// as the first. There the scenario's commands are given. Every frame arrives
// in both, so that a recording also tells what a machine without services
// would have done. NICs are taps, whose far ends this program holds: a frame is
// forwarded before the write that brings it returns.
//
//	guest SCENARIOS RECORDING
//
// reads lines of JSON and writes them with results, gzipped.
package main

import (
	"compress/gzip"
	"fmt"
	"os"
	"runtime"

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
	if len(args) != 2 {
		return fmt.Errorf("usage: guest SCENARIOS RECORDING")
	}
	file, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer file.Close()
	all, err := record.Read(file)
	if err != nil {
		return err
	}
	d := &director{kernel: release(), marked: true}
	for n := range d.sides {
		if n == 1 {
			if err := enter("ipvs"); err != nil {
				return err
			}
		}
		if d.sides[n], err = openTaps(); err != nil {
			return fmt.Errorf("open NICs: %w", err)
		}
	}
	out, err := os.Create(args[1])
	if err != nil {
		return err
	}
	defer out.Close()
	zip := gzip.NewWriter(out)
	for i, s := range all {
		if err := d.play(s); err != nil {
			return fmt.Errorf("scenario %s: %w", s.Scenario, err)
		}
		if err := record.Write(zip, s); err != nil {
			return err
		}
		all[i] = nil // its memory is needed
	}
	return zip.Close()
}

func release() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return unix.ByteSliceToString(u.Release[:])
}
