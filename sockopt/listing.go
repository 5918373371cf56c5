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
	l := listing{at: time.Now(), index: make(map[service.Key]int, len(all))}
	for _, s := range all {
		if s.Is6() {
			o.sayIPv6.Do(func() {
				o.log.Warn("the director has IPv6 services, which these socket options cannot show; use lvx adm")
			})
			continue
		}
		l.index[s.Key] = len(l.services)
		l.services = append(l.services, s)
	}
	o.listing = l
	return nil
}
