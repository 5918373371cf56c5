package conntrack

import (
	"reflect"
	"testing"
	"unsafe"
)

// The layout is shared with whoever maps the memory: a change of it is a new
// LayoutVersion.
func TestRecordIsOneCacheLine(t *testing.T) {
	want := []struct {
		name   string
		offset uintptr
	}{
		{"key", 0}, {"wide", 8}, {"Server", 24}, {"VPort", 28}, {"RPort", 30}, {"LastSeen", 32}, {"Timeout", 36},
		{"next", 40}, {"prev", 44}, {"generation", 48}, {"State", 52}, {"Flags", 53}, {"reach", 54}, {"probe", 55},
		{"ServerHop", 56}, {"ClientHop", 58}, {"RouteGen", 60}, {"spoke", 62},
	}
	layout := reflect.TypeFor[Record]()
	if layout.Size() != recordSize || LayoutVersion != 3 {
		t.Errorf("%d bytes, version %d", layout.Size(), LayoutVersion)
	}
	if layout.NumField() != len(want) {
		t.Fatalf("%d fields, want %d", layout.NumField(), len(want))
	}
	for n, w := range want {
		f := layout.Field(n)
		t.Logf("%2d  %-10s %v", f.Offset, f.Name, f.Type)
		if f.Name != w.name || f.Offset != w.offset {
			t.Errorf("%s at %d, want %s at %d", f.Name, f.Offset, w.name, w.offset)
		}
	}
}

func TestKeyWordHoldsTheClient(t *testing.T) {
	client := at("198.51.100.7:40000")
	const hash = 0x1122334455667788
	for _, c := range []struct {
		name      string
		got, want uint64
	}{
		{"IPv4", keyOf(hash, tcp, client), 1<<63 | tcp<<48 | 40000<<32 | 0xc6336407},
		{"IPv6", keyOf(hash, udp, at("[2001:db8::7]:53")), 1<<63 | 1<<62 | udp<<48 | 53<<32 | 0x55667788},
	} {
		if c.got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, c.got, c.want)
		}
	}
}

func TestConnectionCostsAtMostNinetyBytes(t *testing.T) {
	const n = 1_000_000
	wheel := 2 * spokes * int(unsafe.Sizeof(spoke{}))
	gone := goneRoom * int(unsafe.Sizeof(Gone{}))
	cost := float64(Bytes(n)+wheel+gone+int(unsafe.Sizeof(Table{}))) / n
	t.Logf("%.2f bytes a connection: records %d, wheel %d, gone %d", cost, Bytes(n), wheel, gone)
	if cost > 90 {
		t.Errorf("%.2f bytes a connection", cost)
	}
}
