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
	edit.Op = service.EditServer
	for upper := range uint32(200) {
		edit.Server.Weight, edit.Server.Upper = 0, upper+1
		var group sync.WaitGroup
		group.Go(func() { apply(t, d, edit) })
		group.Go(func() {
			x := service.Drain{Service: edit.Service.Key, Server: edit.Server.Address}
			if err := d.Drain(t.Context(), x, func(service.Left) error { return nil }); err != nil {
				t.Error(err)
			}
		})
		group.Wait()
		if v, _ := d.set.Find(edit.Service.Key); v.Servers[0].Upper != upper+1 {
			t.Fatalf("an upper threshold of %d became %d", upper+1, v.Servers[0].Upper)
		}
	}
}
