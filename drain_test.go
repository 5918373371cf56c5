package lvx

import (
	"sync"
	"testing"

	"github.com/lvx-lb/lvx/service"
)

func TestADrainLeavesOtherEditsAlone(t *testing.T) {
	d := forwarding(t, false)
	edits := lines(1)[:2]
	apply(t, d, edits...)
	edit := edits[1]
	edit.Op, edit.Server.Weight = service.EditServer, 0
	apply(t, d, edit)
	drain := service.Drain{Service: edit.Service.Key, Server: edit.Server.Address}
	over := make(chan struct{})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if err := d.Drain(t.Context(), drain, func(service.Left) error { return nil }); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer group.Wait()
	defer close(over)
	for upper := range uint32(2000) {
		edit.Server.Upper = upper
		apply(t, d, edit)
		d.mu.Lock()
		v, _ := d.set.Find(edit.Service.Key)
		d.mu.Unlock()
		if got := v.Servers[0].Upper; got != upper {
			t.Fatalf("an upper threshold of %d became %d", upper, got)
		}
	}
}
