package bare

import (
	"bytes"
	"testing"

	"github.com/lvx-lb/lvx/nic"
)

func TestFramesCrossWithTheirMACsSwapped(t *testing.T) {
	pool := nic.NewPool(32, 2048)
	ledger := nic.NewLedger(pool)
	a, b := nic.NewMemory(pool, nic.Rings{Fill: 8}), nic.NewMemory(pool, nic.Rings{Fill: 8})
	var free []uint64
	for i := range pool.Chunks() {
		free = append(free, uint64(i)*2048)
	}
	f := New(pool, ledger.Watch(a, "a"), ledger.Watch(b, "b"), free)
	f.Step()
	a.Inject([]byte("destinsourceto b"))
	b.Inject([]byte("destinsourceto a"))
	a.Inject([]byte("short"))
	f.Step()
	for name, c := range map[string]struct {
		q    *nic.Memory
		want []string
	}{
		"a": {a, []string{"sourcedestinto a"}},
		"b": {b, []string{"sourcedestinto b", "short"}},
	} {
		got := c.q.Sent()
		if len(got) != len(c.want) {
			t.Fatalf("%s sent %q", name, got)
		}
		for i := range got {
			if !bytes.Equal(got[i], []byte(c.want[i])) {
				t.Errorf("%s sent %q, want %q", name, got[i], c.want[i])
			}
		}
	}
	f.Step()
	if err := ledger.Check(f.Free()); err != nil {
		t.Fatal(err)
	}
}

func TestAFullTransmitRingDropsAndLosesNoChunk(t *testing.T) {
	pool := nic.NewPool(64, 2048)
	ledger := nic.NewLedger(pool)
	a, b := nic.NewMemory(pool, nic.Rings{}), nic.NewMemory(pool, nic.Rings{Transmit: 8})
	var free []uint64
	for i := range pool.Chunks() {
		free = append(free, uint64(i)*2048)
	}
	f := New(pool, ledger.Watch(a, "a"), ledger.Watch(b, "b"), free)
	b.SetDown(true)
	f.pass(f.queues[0], f.queues[1])
	for range 20 {
		a.Inject(make([]byte, 60))
	}
	f.pass(f.queues[0], f.queues[1])
	if f.Forwarded != 8 || f.Dropped != 12 {
		t.Fatalf("forwarded %d, dropped %d", f.Forwarded, f.Dropped)
	}
	if err := ledger.Check(f.Free()); err != nil {
		t.Fatal(err)
	}
}
