package main

import (
	"context"
	"fmt"
)

func runReplay(_ context.Context, _ []string, std stdio) int {
	fmt.Fprintln(std.err, "lvx replay: not built yet")
	return exitError
}
