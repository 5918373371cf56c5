package packet

import (
	"bytes"
	"testing"
)

func TestTagsAreReadAndRewritten(t *testing.T) {
	s := func() stack { return udp4("198.51.100.7:1", "192.0.2.1:53", []byte("payload")) }
	forms := []struct {
		n     uint8
		tag   [2]uint16
		frame []byte
	}{
		{0, [2]uint16{}, build(64, s()...)},
		{1, [2]uint16{10}, build(64, tagged(s(), 10)...)},
		{1, [2]uint16{4094}, build(64, tagged(s(), 4094)...)},
		{2, [2]uint16{10, 20}, build(64, tagged(s(), 10, 20)...)},
		{2, [2]uint16{20, 10}, build(64, tagged(s(), 20, 10)...)},
	}
	const start = 64
	for _, from := range forms {
		for _, to := range forms {
			buf := make([]byte, start+200)
			var p, again Packet
			n := copy(buf[start:], from.frame)
			if f := Parse(buf[start:start+n], &p); f != OK || p.Tags != from.n || p.Tag != from.tag {
				t.Fatalf("%v %+v", f, p)
			}
			at, ok := p.Retag(buf, start, to.tag, to.n)
			if !ok || at != start+4*(int(from.n)-int(to.n)) {
				t.Fatalf("%v to %v: begins at %d, %v", from.tag, to.tag, at, ok)
			}
			if !bytes.Equal(p.Data, to.frame) || !bytes.Equal(buf[at:at+len(to.frame)], to.frame) {
				t.Errorf("%v to %v\n got % x\nwant % x", from.tag, to.tag, p.Data, to.frame)
			}
			if f := Parse(buf[at:at+len(p.Data)], &again); f != OK || !same(p, again) {
				t.Errorf("the Packet says %+v, its bytes say %+v", p, again)
			}
		}
	}
}

func TestRetagNeedsHeadroomAndAtMostTwoTags(t *testing.T) {
	frame := build(64, udp4("198.51.100.7:1", "192.0.2.1:53", nil)...)
	buf := append(make([]byte, 3), frame...)
	var p Packet
	Parse(buf[3:], &p)
	if at, ok := p.Retag(buf, 3, [2]uint16{10}, 1); ok || at != 3 || !bytes.Equal(buf[3:], frame) {
		t.Errorf("begins at %d", at)
	}
	if _, ok := p.Retag(buf, 3, [2]uint16{}, 3); ok {
		t.Error("three tags")
	}
}

func TestSetMACsWritesBothAddresses(t *testing.T) {
	frame := build(64, udp4("198.51.100.7:1", "192.0.2.1:53", nil)...)
	var p Packet
	Parse(frame, &p)
	SetMACs(p.Data, MACFrom([6]byte{1, 2, 3, 4, 5, 6}), MACFrom([6]byte{7, 8, 9, 10, 11, 12}))
	if !bytes.Equal(frame[:14], []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8, 0}) {
		t.Errorf("% x", frame[:14])
	}
}
