package lvx

import (
	"errors"
	"net/netip"

	"github.com/lvx-lb/lvx/bpf"
)

// keys are what steering has been told, so that only differences are written.
type keys struct {
	steering *bpf.Steering
	links    *links
	service  map[key]bool
	reply    map[key]bool
	own      map[netip.Addr]bool
}

type key struct {
	link  int // index into links.list
	proto uint8
	at    netip.AddrPort
}

func newKeys(s *bpf.Steering, l *links) *keys {
	return &keys{s, l, map[key]bool{}, map[key]bool{}, map[netip.Addr]bool{}}
}

// setOwn replaces the addresses of the director.
func (k *keys) setOwn(own map[netip.Addr]bool) error {
	return errors.Join(missing(k.own, own, k.steering.AddOwn), surplus(k.own, own, k.steering.RemoveOwn))
}

// widen adds the keys that are missing, answers first: when the first request
// leaves, its answer is expected.
func (k *keys) widen(service, reply map[key]bool) error {
	if err := missing(k.reply, reply, k.with(k.steering.AddReply)); err != nil {
		return err
	}
	return missing(k.service, service, k.with(k.steering.AddService))
}

// narrow takes away the keys that are no longer wanted.
func (k *keys) narrow(service, reply map[key]bool) error {
	return errors.Join(
		surplus(k.service, service, k.with(k.steering.RemoveService)),
		surplus(k.reply, reply, k.with(k.steering.RemoveReply)),
	)
}

type keyFunc func(bpf.Link, uint8, netip.Addr, uint16) error

func (k *keys) with(f keyFunc) func(key) error {
	return func(x key) error { return f(k.links.list[x.link].key, x.proto, x.at.Addr(), x.at.Port()) }
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
