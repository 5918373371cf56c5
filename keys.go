package lvx

import (
	"errors"
	"net/netip"

	"github.com/lvx-lb/lvx/bpf"
)

// keys are what steering has been told and what it should know, so that only
// differences are looked at and written.
type keys struct {
	steering *bpf.Steering
	links    *links
	service  claims
	reply    claims
	own      map[netip.Addr]bool
}

type key struct {
	link  int // index into links.list
	proto uint8
	at    netip.AddrPort
}

func newKeys(s *bpf.Steering, l *links) *keys {
	return &keys{s, l, newClaims(), newClaims(), map[netip.Addr]bool{}}
}

// setOwn replaces the addresses of the director.
func (k *keys) setOwn(own map[netip.Addr]bool) error {
	return errors.Join(missing(k.own, own, k.steering.AddOwn), surplus(k.own, own, k.steering.RemoveOwn))
}

// widen adds the keys that are missing, answers first: when the first request
// leaves, its answer is expected.
func (k *keys) widen() error {
	if err := k.widenReplies(); err != nil {
		return err
	}
	return k.service.widen(k.with(k.steering.AddService))
}

func (k *keys) widenReplies() error { return k.reply.widen(k.with(k.steering.AddReply)) }

// narrow takes away the keys that nobody claims any more.
func (k *keys) narrow() error {
	return errors.Join(
		k.service.narrow(k.with(k.steering.RemoveService)),
		k.reply.narrow(k.with(k.steering.RemoveReply)),
	)
}

type keyFunc func(bpf.Link, uint8, netip.Addr, uint16) error

func (k *keys) with(f keyFunc) func(key) error {
	return func(x key) error { return f(k.links.list[x.link].key, x.proto, x.at.Addr(), x.at.Port()) }
}

// claims count who wants a key, and know which ones steering has.
type claims struct {
	wanted map[key]int
	told   map[key]bool
	open   map[key]struct{} // where the two may differ
}

func newClaims() claims { return claims{map[key]int{}, map[key]bool{}, map[key]struct{}{}} }

// claim says that somebody wants a key (1), or does not any more (-1).
func (c *claims) claim(x key, by int) {
	if c.wanted[x] += by; c.wanted[x] == 0 {
		delete(c.wanted, x)
	}
	c.open[x] = struct{}{}
}

// widen calls do for what is wanted and not told. It stops at the first error.
func (c *claims) widen(do func(key) error) error {
	for x := range c.open {
		if c.wanted[x] == 0 {
			continue
		}
		if !c.told[x] {
			if err := do(x); err != nil {
				return err
			}
			c.told[x] = true
		}
		delete(c.open, x)
	}
	return nil
}

// narrow calls do for what is told and not wanted.
func (c *claims) narrow(do func(key) error) error {
	var errs []error
	for x := range c.open {
		if c.wanted[x] > 0 {
			continue
		}
		if c.told[x] {
			delete(c.told, x)
			errs = append(errs, do(x))
		}
		delete(c.open, x)
	}
	return errors.Join(errs...)
}

// missing calls do for what is in want and not in have, and puts it there
// once that has worked. It stops at the first error.
func missing[K comparable](have, want map[K]bool, do func(K) error) error {
	for x := range want {
		if have[x] {
			continue
		}
		if err := do(x); err != nil {
			return err
		}
		have[x] = true
	}
	return nil
}

// surplus calls do for what is in have and not in want, and takes it out.
func surplus[K comparable](have, want map[K]bool, do func(K) error) error {
	var errs []error
	for x := range have {
		if !want[x] {
			delete(have, x)
			errs = append(errs, do(x))
		}
	}
	return errors.Join(errs...)
}
