package packet

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/gopacket/layers"
)

// pieces runs f to its end.
func pieces(t testing.TB, f Fragmenter) (all [][]byte) {
	t.Helper()
	want := f.Pieces()
	for {
		dst := bytes.Repeat([]byte{0xee}, 66000)
		n := f.Next(dst)
		if n == 0 {
			break
		}
		all = append(all, dst[:n])
	}
	if len(all) != want || f.Pieces() != 0 {
		t.Fatalf("%d pieces, announced %d, left %d", len(all), want, f.Pieces())
	}
	return all
}

// joined checks every piece against mtu and id, and puts them together.
func joined(t testing.TB, all [][]byte, mtu int, id uint32) (payload []byte) {
	t.Helper()
	for i, frame := range all {
		var p Packet
		if f := Parse(frame, &p); f != OK {
			t.Fatalf("piece %d: %v: % x", i, f, frame)
		}
		if p.IPLen() > mtu || len(p.Data) != len(frame) {
			t.Fatalf("piece %d: %d bytes, mtu %d", i, p.IPLen(), mtu)
		}
		at := int(p.L4)
		if p.FragHeader != 0 {
			at = int(p.FragHeader) + fragmentLen
		}
		if len(all) > 1 {
			if int(p.FragOffset) != len(payload) || p.MoreFragments != (i < len(all)-1) || p.FragID != id {
				t.Fatalf("piece %d: %+v", i, p)
			}
		}
		payload = append(payload, p.Data[at:]...)
	}
	return payload
}

func TestFragmentsFitAndJoinToTheDatagram(t *testing.T) {
	for kind, make := range makers {
		client, virtual, _ := names(kind)
		for _, size := range []int{1, 100, 1451, 1452, 1453, 3000, 60000} {
			payload := bytes.Repeat([]byte("0123456789abcdefg"), size/17+1)[:size]
			frame := make(client, virtual, 64, payload)
			var p Packet
			Parse(frame, &p)
			for _, mtu := range []int{1280, 1500, 9000} {
				got := joined(t, pieces(t, NewFragmenter(&p, nil, mtu, 0x1234)), mtu, 0x1234)
				if !bytes.Equal(got, frame[p.L4:]) {
					t.Errorf("%s of %d at mtu %d: other bytes", kind, size, mtu)
				}
			}
		}
	}
}

func TestWhatFitsIsNotFragmented(t *testing.T) {
	for kind, make := range makers {
		client, virtual, _ := names(kind)
		frame := make(client, virtual, 64, []byte("payload"))
		var p Packet
		Parse(frame, &p)
		all := pieces(t, NewFragmenter(&p, nil, p.IPLen(), 0x1234))
		if len(all) != 1 || !bytes.Equal(all[0], frame) {
			t.Errorf("%s: % x", kind, all)
		}
	}
}

func TestFragmentsOfAFragmentKeepTheirPlace(t *testing.T) {
	frame := build(64, udp4("198.51.100.7:1", "192.0.2.1:53", make([]byte, 1000))...)
	var p Packet
	Parse(frame, &p)
	first := pieces(t, NewFragmenter(&p, nil, 600, 9))
	var all [][]byte
	for _, piece := range first {
		Parse(piece, &p)
		all = append(all, pieces(t, NewFragmenter(&p, nil, 200, 9))...)
	}
	if got := joined(t, all, 200, 9); !bytes.Equal(got, frame[34:]) {
		t.Errorf("% x", got)
	}
}

func TestATemplateCarriesThePayloadOfTheWholeDatagram(t *testing.T) {
	whole := bytes.Repeat([]byte("reassembled "), 300)
	whole = whole[:len(whole)&^7]
	binary.BigEndian.PutUint16(whole[4:], uint16(len(whole))) // UDP length
	for _, first := range [][]byte{
		edit(build(64, udp4("198.51.100.7:1", "192.0.2.1:53", whole[8:72])...), 6, 0x20, 0),
		build(64, ipv6Fragment(UDP, 1, 7, whole[:64])...),
	} {
		var p Packet
		if f := Parse(first, &p); f != OK || !p.Fragment {
			t.Fatal(f)
		}
		if got := joined(t, pieces(t, NewFragmenter(&p, whole, 1280, 7)), 1280, 7); !bytes.Equal(got, whole) {
			t.Error("other bytes")
		}
		all := pieces(t, NewFragmenter(&p, whole, 9000, 7))
		if got := joined(t, all, 9000, 7); len(all) != 1 || !bytes.Equal(got, whole) {
			t.Error("fragmented though it fits")
		}
		if Parse(all[0], &p); p.Fragment || p.FragHeader != 0 {
			t.Errorf("%+v", p)
		}
	}
}

func TestOnlyTheFirstFragmentCarriesOptionsThatAreNotCopied(t *testing.T) {
	s := withOptions(udp4("198.51.100.7:1", "192.0.2.1:53", make([]byte, 100)), option(148, 0, 0), recordRoute)
	var p Packet
	Parse(build(64, s...), &p)
	all := pieces(t, NewFragmenter(&p, nil, 76, 1))
	for i, frame := range all {
		options := frame[ethLen+ipv4Len : ethLen+36]
		if options[0] != 148 || (options[4] == 7) != (i == 0) || i > 0 && !bytes.Equal(options[4:15], bytes.Repeat([]byte{1}, 11)) {
			t.Errorf("piece %d: % x", i, options)
		}
	}
	joined(t, all, 76, 1)
}

func TestExtensionHeadersStayInFrontOfTheFragmentHeader(t *testing.T) {
	udpHeader := build(64, udp6("[2001:db8::7]:40000", "[2001:db8::1]:53", make([]byte, 200))...)[ethLen+ipv6Len:]
	hop, dest := []byte{60, 0, 1, 4, 0, 0, 0, 0}, []byte{17, 0, 1, 4, 0, 0, 0, 0}
	frame := extended(0, append(hop, dest...), udpHeader)
	var p Packet
	Parse(frame, &p)
	all := pieces(t, NewFragmenter(&p, nil, 128, 77))
	if got := joined(t, all, 128, 77); !bytes.Equal(got, frame[ethLen+ipv6Len+8:]) {
		t.Errorf("% x", got)
	}
	for _, piece := range all {
		chain := piece[ethLen+ipv6Len:]
		if piece[ethLen+6] != 0 || chain[0] != 44 || chain[8] != 60 {
			t.Errorf("% x", piece)
		}
	}
}

func TestDontFragmentIsClearedFromPieces(t *testing.T) {
	s := udp4("198.51.100.7:1", "192.0.2.1:53", make([]byte, 100))
	s[1].(*layers.IPv4).Flags = layers.IPv4DontFragment
	frame := build(64, s...)
	var p Packet
	Parse(frame, &p)
	for _, piece := range pieces(t, NewFragmenter(&p, nil, 76, 1)) {
		if piece[ethLen+6]&0x40 != 0 {
			t.Errorf("% x", piece)
		}
	}
	if all := pieces(t, NewFragmenter(&p, nil, 1500, uint32(p.FragID))); !bytes.Equal(all[0], frame) {
		t.Errorf("% x", all[0])
	}
}

func TestAnMTUWithoutRoomGivesNothing(t *testing.T) {
	var p Packet
	Parse(build(64, udp4("198.51.100.7:1", "192.0.2.1:53", make([]byte, 100))...), &p)
	for _, mtu := range []int{-1, 0, 20, 27} {
		if f := NewFragmenter(&p, nil, mtu, 1); f.Pieces() != 0 || f.Next(make([]byte, 2000)) != 0 {
			t.Errorf("mtu %d", mtu)
		}
	}
	f := NewFragmenter(&p, make([]byte, 65516), 1500, 1)
	if f.Pieces() != 0 {
		t.Error("a packet longer than 65535 bytes")
	}
	f = NewFragmenter(&p, nil, 76, 1)
	if f.Next(make([]byte, 10)) != 0 || f.Pieces() == 0 {
		t.Error("a piece in 10 bytes")
	}
}
