package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/lvx-lb/lvx/admin"
)

func runSave(ctx context.Context, args []string, std stdio) int {
	plain := false
	socket, code, ok := asking("save", args, std, func(f *flag.FlagSet) {
		f.BoolVar(&plain, "ipvsadm", false, "only what ipvsadm -R reads: no mark rules, no sysctls")
	})
	if !ok {
		return code
	}
	c, err := admin.Dial(ctx, socket)
	if err == nil {
		err = admin.Save(ctx, c, std.out, plain)
	}
	if err != nil {
		return fail(std, err)
	}
	return exitOK
}

func runRestore(ctx context.Context, args []string, std stdio) int {
	socket, files, code, ok := askingWith("restore", args, std, nil)
	switch {
	case !ok:
		return code
	case len(files) > 1:
		fmt.Fprintf(std.err, "lvx restore: unexpected argument %q\n", files[1])
		return exitUsage
	}
	in := std.in
	if len(files) == 1 && files[0] != "-" {
		file, err := os.Open(files[0])
		if err != nil {
			return fail(std, err)
		}
		defer file.Close()
		in = file
	}
	if err := restore(ctx, socket, in); err != nil {
		return fail(std, err)
	}
	return exitOK
}

func restore(ctx context.Context, socket string, in io.Reader) error {
	c, err := admin.Dial(ctx, socket)
	if err != nil {
		return err
	}
	return admin.Restore(ctx, c, in)
}
