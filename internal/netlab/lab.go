// Package netlab lays out small networks of Linux network namespaces: hosts,
// veth links, bridges, addresses and routes. Tests and `lvx demo` run a
// director and its clients and servers in them, on one machine and without
// the ip command.
//
// A Lab belongs to one run of one process. Its hosts are namespaces named
// lvx-RUN-HOST, which `ip netns` shows, and RUN begins with the process id:
// a later run removes the labs of processes that were killed.
package netlab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/vishvananda/netlink"
)

// ErrNotRoot is returned where a lab is asked for without root's privileges.
var ErrNotRoot = errors.New("network namespaces need root")

const (
	prefix     = "lvx-"
	namespaces = "/run/netns"
	dirs       = "/run"
)

// Lab is a set of hosts that are removed together.
type Lab struct {
	ID    string // process id, and a letter from the second lab of a process on
	Dir   string // private directory, for sockets, configurations and logs
	hosts []*Host
}

var labs atomic.Int64

// New makes an empty lab and removes what killed runs left behind.
func New() (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	if err := Sweep(); err != nil {
		return nil, err
	}
	id := strconv.Itoa(os.Getpid())
	if n := labs.Add(1); n > 1 {
		id += "." + strconv.FormatInt(n, 10)
	}
	l := &Lab{ID: id, Dir: filepath.Join(dirs, prefix+id)}
	if err := os.Mkdir(l.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make lab: %w", err)
	}
	return l, nil
}

// Link joins a NIC of a with a NIC of b by a veth pair, sets both up and waits
// until they send. Their offloads stay as the kernel sets them.
func (l *Lab) Link(a *Host, nicA string, b *Host, nicB string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nicA
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: nicB, PeerNamespace: netlink.NsFd(int(b.ns))}
	if err := a.links.LinkAdd(veth); err != nil {
		return fmt.Errorf("link %s %s with %s %s: %w", a.Name, nicA, b.Name, nicB, err)
	}
	if err := a.Up(nicA); err != nil {
		return err
	}
	if err := b.Up(nicB); err != nil {
		return err
	}
	return errors.Join(a.awaitLink(nicA), b.awaitLink(nicB))
}

// Close ends the processes of all hosts and removes hosts and directory.
func (l *Lab) Close() error {
	var errs []error
	for _, h := range l.hosts {
		errs = append(errs, h.close())
	}
	l.hosts = nil
	return errors.Join(append(errs, os.RemoveAll(l.Dir))...)
}
