package lvx

import (
	"testing"

	"github.com/lvx-lb/lvx/service"
)

func TestASilentServerIsNamedOnceUntilItAnswers(t *testing.T) {
	stats := func(conns, in, out uint64) service.Stats {
		return service.Stats{Conns: conns, InPkts: in, OutPkts: out}
	}
	for name, looks := range map[string][]struct {
		now   service.Stats
		named bool
	}{
		"it never answers":                   {{stats(1, 3, 0), false}, {stats(1, 4, 0), true}, {stats(1, 5, 0), false}},
		"it answers late":                    {{stats(1, 3, 0), false}, {stats(1, 3, 1), false}, {stats(1, 4, 1), false}},
		"two packets are too few":            {{stats(1, 1, 0), false}, {stats(2, 2, 0), false}, {stats(2, 2, 0), false}},
		"it has lost its route":              {{stats(9, 90, 80), false}, {stats(12, 93, 80), false}, {stats(12, 94, 80), true}, {stats(14, 96, 80), false}},
		"clients reset their connections":    {{stats(9, 90, 80), false}, {stats(9, 99, 80), false}, {stats(9, 99, 80), false}},
		"it is silent again after answers":   {{stats(1, 3, 0), false}, {stats(1, 3, 0), true}, {stats(2, 9, 5), false}, {stats(5, 12, 5), false}, {stats(5, 12, 5), true}},
		"another server has the slot":        {{stats(9, 90, 80), false}, {stats(0, 0, 0), false}, {stats(2, 2, 0), false}, {stats(2, 2, 0), false}},
		"another one, where nobody answered": {{stats(2, 2, 0), false}, {stats(1, 1, 0), false}, {stats(2, 2, 0), false}},
	} {
		var h hush
		for i, l := range looks {
			if got := h.look(l.now); got != l.named {
				t.Errorf("%s: look %d: named %v, want %v", name, i+1, got, l.named)
			}
		}
	}
}
