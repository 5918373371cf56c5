package service

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"testing"
)

func TestIPv4MasksAreKeptBitByBit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	masks := []uint32{0, 1, 1 << 31, 0xff00ff00, 0xfffffffd, ^uint32(0)}
	for bits := range 33 {
		masks = append(masks, ^uint32(0)<<(32-bits))
	}
	for range 10_000 {
		masks = append(masks, r.Uint32(), r.Uint32()|r.Uint32(), r.Uint32()&r.Uint32())
	}
	for _, want := range masks {
		m := IPv4Mask(want)
		if m.IPv4() != want || !m.fits(false) {
			t.Fatalf("%08x became %08x (%v)", want, m.IPv4(), m)
		}
		b := net.IPv4Mask(byte(want>>24), byte(want>>16), byte(want>>8), byte(want))
		bits, size := b.Size()
		if size != 0 && bits > 0 && m != Netmask(bits%32) {
			t.Errorf("%08x is %d, not %d bits", want, uint64(m), bits)
		}
		if scatters := size == 0 || bits == 0; scatters && (m.fits(true) || m.String() != net.IP(b).String()) {
			t.Errorf("%08x: %v", want, m)
		}
		text, err := json.Marshal(m)
		var read Netmask
		if err != nil || json.Unmarshal(text, &read) != nil || read != m {
			t.Errorf("%08x: %s, %v became %v", want, text, err, read)
		}
	}
}

func TestNetmasksReadWellAsJSON(t *testing.T) {
	for text, want := range map[string]Netmask{
		`24`: 24, `128`: 128, `0`: 0, `"255.0.255.0"`: IPv4Mask(0xff00ff00), `"0.0.0.0"`: IPv4Mask(0),
	} {
		var m Netmask
		if err := json.Unmarshal([]byte(text), &m); err != nil || m != want {
			t.Errorf("%s: %v, %v", text, m, err)
		}
		if again, err := json.Marshal(want); err != nil || string(again) != text {
			t.Errorf("%s, %v, want %s", again, err, text)
		}
	}
	var m Netmask
	if err := json.Unmarshal([]byte(`"255.255.255.0"`), &m); err != nil || m != 24 {
		t.Errorf("%v, %v", m, err)
	}
	for _, text := range []string{`-1`, `256`, `4294967296`, `1.5`, `true`, `""`, `"24"`, `"::"`, `[]`, `{}`} {
		if err := json.Unmarshal([]byte(text), &m); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, %v", text, m, err)
		}
	}
}
