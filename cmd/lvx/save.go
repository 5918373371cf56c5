package main

import (
	"context"
	"io"
	"os"

	"github.com/lvx-lb/lvx/admin"
)

func runSave(ctx context.Context, args []string, std stdio) int {
	plain := false
	socket, _, code, ok := asking("save", args, std, 0, func(o *options) {
		o.BoolVar(&plain, "ipvsadm", false, "only what ipvsadm -R reads: no mark rules, no sysctls")
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
	socket, files, code, ok := asking("restore", args, std, 1, func(o *options) {
		o.note = "FILE is one that lvx save or ipvsadm -S wrote; - or none is standard input. Services that it does not name go, those that stay keep their connections. Mark rules go if it has some; timeouts and sysctls that it does not name stay."
	})
	if !ok {
		return code
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
