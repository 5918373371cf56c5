package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

// notify tells systemd what has become of lvx, if it has started lvx and waits
// to hear of it (Type=notify).
func notify(state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, state); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
