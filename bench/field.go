package bench

import (
	"context"
	"errors"
	"slices"
)

// field is the contenders that stand in one part of a measurement. One that
// does not start, or fails on the way, becomes a line of the result; the others
// go on.
type field struct {
	part string
	r    *Result
	all  []*Contender
}

func (r *Result) newField(part string) *field { return &field{part: part, r: r} }

// enter starts a contender, if its programs are there, and prepares it.
func (f *field) enter(name string, table int, prepare func(*Contender) error) {
	if f.r.absent[name] { // which the result says once
		return
	}
	c, err := NewContender(name, f.r.options.Self, table)
	if err != nil {
		f.r.miss("%s of %s: %v", f.part, name, err)
		return
	}
	f.all = append(f.all, c)
	f.r.learnMode(c)
	if err := prepare(c); err != nil {
		f.leave(c, err)
	}
}

// each does something with all contenders in turn.
func (f *field) each(ctx context.Context, do func(*Contender) error) error {
	for _, c := range slices.Clone(f.all) {
		err := do(c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			f.leave(c, err)
		}
	}
	return nil
}

// find returns the contender of that name, nil if it does not stand.
func (f *field) find(name string) *Contender {
	for _, c := range f.all {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// leave takes a contender that failed out of the field: its figures of later
// rounds are missing.
func (f *field) leave(c *Contender, why error) {
	f.r.miss("%s of %s, from here on: %v", f.part, c.Name, errors.Join(why, c.Close()))
	f.all = slices.DeleteFunc(f.all, func(other *Contender) bool { return other == c })
}

func (f *field) close() error {
	var errs []error
	for _, c := range f.all {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
