package lvx

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// ErrConfig tells that a value of Config is impossible.
var ErrConfig = errors.New("impossible value")

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
