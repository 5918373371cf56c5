package lvx

import (
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/lvx-lb/lvx/service"
)

// ErrConfig tells that a value of Config is impossible.
var ErrConfig = errors.New("impossible value")

// Config says what a Director works with. Only NICs is needed.
type Config struct {
	// NICs are the links that packets come and go by: names of NICs, or of
	// VLAN devices on them. Services are answered on all of them.
	NICs []string
	// Public names the links that VIPs are added to; none means all.
	Public []string
	// AddVIPs adds the VIPs that no NIC has, keeps them there while Run works,
	// and removes them at its end.
	AddVIPs bool
	// Conns is the capacity of the connection table, 1,048,576 by default, and
	// how many clients persistent services remember at most.
	Conns int
	// Mode forces "zerocopy", "native" or "generic"; "" or "auto" takes the
	// best that all NICs have.
	Mode string
	// Name is the director's own: of the veth that it may create (default
	// lvx0) and of its state file. Two directors need two.
	Name string
	// StateDir is a folder where settings changed on the machine are noted
	// before the change; "" notes nothing.
	StateDir string
	// Workers is how many threads forward, 1 by default; each needs a queue of
	// its own on every NIC.
	Workers int
	// Rings is the size of the rings of a queue, 2,048 by default.
	Rings int
	// Strict leaves out every deviation from IPVS that has a switch. Deviate
	// switches some on, NoDeviate some off.
	Strict             bool
	Deviate, NoDeviate service.Deviations
	// SlowStart is how long a server that was added, or had weight 0, takes to
	// get its weight; 0 is none. Services with wrr, wlc, sed, nq and twos know it.
	SlowStart time.Duration
	// FTP are the ports whose TCP connections are helped as FTP: 21 if nil,
	// none if empty.
	FTP []uint16
	// Log takes what an operator should know; default slog.Default().
	Log *slog.Logger
	// FDs are gone on with, in place of opening new ones; they are the
	// Director's from then on. Rings and Workers must be as they were.
	FDs *FDs
	// Ready is called once, when Run forwards.
	Ready func()
}

func (c Config) withDefaults() Config {
	if c.Conns == 0 {
		c.Conns = 1 << 20
	}
	if c.Name == "" {
		c.Name = "lvx0"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Workers == 0 {
		c.Workers = 1
	}
	if c.Rings == 0 {
		c.Rings = 2048
	}
	if len(c.Public) == 0 {
		c.Public = c.NICs
	}
	if c.FTP == nil {
		c.FTP = []uint16{21}
	}
	return c
}

// deviations returns how a director of c differs from IPVS; check has been
// there.
func (c *Config) deviations() service.Deviations {
	all, _ := service.ChooseDeviations(c.Strict, c.Deviate, c.NoDeviate)
	return all
}

// The limits of Config. A queue's rings of the largest size stand for 400 MB
// of frames; a NIC's name has 15 bytes, and that of the second end of the
// director's own veth is one longer than its name.
const (
	minRings = 64
	maxRings = 1 << 15
	maxConns = 1 << 30
	maxName  = 14

	maxSlowStart = 24 * time.Hour
	maxFTP       = 8 // ports, as IPVS has it
)

// check refuses values before anything is opened for them.
func (c *Config) check() error {
	switch {
	case c.Conns < 1 || c.Conns > maxConns:
		return fmt.Errorf("%w: a table for %d connections; from 1 to %d are possible", ErrConfig, c.Conns, maxConns)
	case c.Rings < minRings || c.Rings > maxRings || bits.OnesCount(uint(c.Rings)) != 1:
		return fmt.Errorf("%w: rings of %d; a power of two from %d to %d is possible", ErrConfig, c.Rings, minRings, maxRings)
	case c.Workers < 1 || c.Workers > maxQueues:
		return fmt.Errorf("%w: %d workers; from 1 to %d are possible", ErrConfig, c.Workers, maxQueues)
	case c.SlowStart < 0 || c.SlowStart > maxSlowStart:
		return fmt.Errorf("%w: a slow start of %v; up to %v is possible", ErrConfig, c.SlowStart, maxSlowStart)
	case len(c.FTP) > maxFTP:
		return fmt.Errorf("%w: %d ports of FTP; up to %d are possible", ErrConfig, len(c.FTP), maxFTP)
	case slices.ContainsFunc(c.FTP, func(port uint16) bool { return port < 2 }):
		return fmt.Errorf("%w: FTP on ports %v; from 2 on they are possible", ErrConfig, c.FTP)
	case len(c.Name) > maxName || strings.ContainsAny(c.Name, "/: \t\n") || c.Name == "." || c.Name == "..":
		return fmt.Errorf("%w: the name %q; it names a NIC, in at most %d bytes", ErrConfig, c.Name, maxName)
	case c.Deviate&c.NoDeviate != 0:
		return fmt.Errorf("%w: to deviate and not to deviate from IPVS: %v", ErrConfig, c.Deviate&c.NoDeviate)
	}
	return nil
}
