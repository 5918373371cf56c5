package conntrack

import "fmt"

// sound reports whatever breaks the rules that the table lives by, after an
// Expire at the given tick that may not have come to its end.
func (t *Table) sound(swept Tick) error {
	reach := make([]int, len(t.slots))
	used, aliases := 0, 0
	for i := range t.slots {
		if r := &t.slots[i]; !r.free() {
			if r.key&keyAlias != 0 {
				aliases++
				if at := t.Named(Name{r.next, uint32(r.prev)}); at == None || t.alias[at] != Index(i) || t.slots[at].Flags&Aliased == 0 {
					return fmt.Errorf("slot %d is the alias of nothing: %+v", i, *r)
				}
			}
			home := t.homeOf(Index(i), Index(r.probe))
			reach[home] = max(reach[home], int(r.probe)+1)
			used++
		}
	}
	for i := range t.slots {
		if int(t.slots[i].reach) != reach[i] {
			return fmt.Errorf("slot %d: reach %d, keys need %d", i, t.slots[i].reach, reach[i])
		}
	}
	if used != t.count || aliases != t.aliases {
		return fmt.Errorf("%d records and %d aliases, counted %d and %d", used, aliases, t.count, t.aliases)
	}
	linked := 0
	for at := range t.wheel.spokes {
		n, err := t.soundSpoke(at, swept)
		if err != nil {
			return fmt.Errorf("spoke %d: %w", at, err)
		}
		linked += n
	}
	if linked != used-aliases {
		return fmt.Errorf("%d records linked, %d used", linked, used-aliases)
	}
	return nil
}

func (t *Table) soundSpoke(at int, swept Tick) (n int, err error) {
	w := &t.wheel
	tick := w.next + (Tick(at)-w.next)%spokes
	before := None
	for i := w.spokes[at].first; i != None; i = t.slots[i].next {
		r := &t.slots[i]
		switch {
		case r.free() || int(r.spoke) != at || r.prev != before:
			return n, fmt.Errorf("record %d is linked wrongly: %+v", i, *r)
		case tick != w.next && int32(tick-swept) > 0 && int32(tick-r.deadline()) > 0:
			return n, fmt.Errorf("record %d is due before its visit: %+v", i, *r)
		case at < halfRim && r.State.HalfOpen():
			return n, fmt.Errorf("record %d is half-open on the wrong rim: %+v", i, *r)
		case at >= halfRim && int32(tick-w.halfFrom) < 0:
			return n, fmt.Errorf("record %d lies before the oldest: %+v", i, *r)
		}
		before = i
		n++
	}
	if w.spokes[at].last != before {
		return n, fmt.Errorf("last is %d, want %d", w.spokes[at].last, before)
	}
	return n, nil
}
