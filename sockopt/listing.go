package sockopt

import (
	"context"
	"time"

	"github.com/lvx-lb/lvx/service"
)

// listingAge is how long a listing answers questions about servers. A tool
// that lists everything asks for each service's servers in a call of its own,
// and the director tells all of them at once.
const listingAge = time.Second

// listing is what the director last told: the services that this interface
// can show.
type listing struct {
	at       time.Time
	services []service.Status
	index    map[service.Key]int
	left     int // services that it cannot
}

func (l *listing) fresh() bool { return l.index != nil && time.Since(l.at) < listingAge }

func (l *listing) find(k service.Key) *service.Status {
	if i, ok := l.index[k]; ok {
		return &l.services[i]
	}
	return nil
}

// list asks the director anew. IPv6 is left out: the structures have no room
// for it.
func (o *options) list(ctx context.Context) error {
	all, err := o.director.Status(ctx)
	if err != nil {
		return err
	}
	l := listing{at: time.Now(), index: make(map[service.Key]int, len(all)), left: len(all)}
	for _, s := range all {
		if !s.Is6() {
			l.index[s.Key] = len(l.services)
			l.services = append(l.services, s)
		}
	}
	l.left -= len(l.services)
	o.listing = l
	return nil
}

// sayLeft tells once that a listing is not the whole truth.
func (o *options) sayLeft() {
	if n := o.listing.left; n > 0 {
		o.said.Do(func() {
			o.log.Warn("these socket options cannot show IPv6 services; lvx adm does", "services", n)
		})
	}
}
