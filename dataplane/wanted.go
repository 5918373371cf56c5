package dataplane

import (
	"fmt"
	"slices"

	"github.com/lvx-lb/lvx/scheduler"
	"github.com/lvx-lb/lvx/service"
)

// Apply prepares what set wants: services, schedulers, slots. Nothing has
// changed when it returns an error. The next Config names them all; once every
// worker has adopted it, Publish lets new connections follow. It costs what was
// edited since the last Publish, however large set is.
func (r *Roster) Apply(set *service.Set) error {
	wanted := r.edited(set)
	fresh := make(map[service.Key]scheduler.Scheduler)
	for i := range wanted {
		v := wanted[i].Is
		if v == nil {
			continue
		}
		if old := r.running(v.Key); old == nil || !sameScheduler(&old.spec, v) {
			s, err := scheduler.New(v.Scheduler, v.Flags, scheduler.Since(uint32(r.now.tick())))
			if err != nil {
				return fmt.Errorf("make scheduler %q: %w", v.Scheduler, err)
			}
			fresh[v.Key] = s
		}
	}
	for i := range r.changes {
		for _, srv := range r.changes[i].added {
			r.bury(srv) // it was to join, and has not
		}
	}
	r.set, r.changes = set.Clone(), r.changes[:0]
	for _, e := range wanted {
		switch v := e.Is; {
		case v == nil:
			r.leave(e.Key())
		default:
			if v.Persistent != 0 && r.templates == nil {
				r.templates = newTemplates(r.templateLimit)
			}
			r.changes = append(r.changes, r.prepare(*v, fresh[v.Key]))
		}
	}
	return nil
}

// edited returns what differs from what is published, or may: what was applied
// since and is not wanted after all.
func (r *Roster) edited(set *service.Set) []service.Change {
	wanted := set.Since(r.done)
	for i := range r.changes {
		key := r.changes[i].service.Key
		if slices.ContainsFunc(wanted, func(c service.Change) bool { return c.Key() == key }) {
			continue
		}
		was := r.changes[i].wanted // the place is used again
		c := service.Change{Was: &was}
		if v, ok := set.Find(key); ok {
			c.Is = &v
		}
		wanted = append(wanted, c)
	}
	return wanted
}

// running returns the service of that key, also one that leaves.
func (r *Roster) running(k service.Key) *Service {
	if s := r.services[k]; s != nil {
		return s
	}
	return r.leaving[k]
}

// leave takes a service out of the next Config. It is forgotten by Publish.
func (r *Roster) leave(k service.Key) {
	s := r.running(k)
	if s == nil {
		return
	}
	delete(r.services, k)
	r.leaving[k], r.last = s, nil
	r.changes = append(r.changes, change{service: s, wanted: service.Configured{Service: s.spec.Service}})
}
