package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestChecksumOfRFC1071(t *testing.T) {
	if s := ^Checksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0); s != 0xddf2 {
		t.Errorf("%#04x, want 0xddf2", s)
	}
}

func TestChecksumAgreesWithItsSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 3000 {
		b := make([]byte, n%200)
		for i := range b {
			b[i] = byte(r.Uint32() | uint32(n%3>>1)*0xff) // every third all ones
		}
		if got, want := sum(b, 0), slowSum(b); got != want {
			t.Fatalf("%d bytes: %#04x, want %#04x: % x", len(b), got, want, b)
		}
		initial := r.Uint32() & 0xfffff
		head := []byte{byte(initial >> 24), byte(initial >> 16), byte(initial >> 8), byte(initial)}
		if got, want := sum(b, initial), slowSum(head, b); got != want {
			t.Fatalf("%d bytes from %#x: %#04x, want %#04x", len(b), initial, got, want)
		}
	}
}

func TestFoldNeverMakesAZero(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range []uint64{1, 0xffff, 0x10000, 0xffffffff, 0xffff0000, 0x100000000, 1<<64 - 1, 1 << 63} {
		check(t, s)
	}
	for range 10000 {
		check(t, r.Uint64()>>(r.Uint32()%64))
	}
}

func check(t *testing.T, s uint64) {
	t.Helper()
	want := uint16(s % 0xffff)
	if want == 0 && s != 0 {
		want = 0xffff
	}
	if got := fold64(s); got != want {
		t.Errorf("%#x: %#04x, want %#04x", s, got, want)
	}
	want = uint16(s & 0xffffffff % 0xffff)
	if want == 0 && uint32(s) != 0 {
		want = 0xffff
	}
	if got := fold(uint32(s)); got != want {
		t.Errorf("%#x: %#04x, want %#04x", uint32(s), got, want)
	}
}

func TestPseudoSumIsThatOfThePseudoHeader(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		length := int(r.Uint32() & 0xffff)
		s4, d4 := r.Uint32(), r.Uint32()
		h4 := binary.BigEndian.AppendUint32(nil, s4)
		h4 = binary.BigEndian.AppendUint32(h4, d4)
		h4 = append(h4, 0, TCP, byte(length>>8), byte(length))
		if got, want := PseudoSum(AddrFrom4(s4), AddrFrom4(d4), TCP, length), slowSum(h4); got != want {
			t.Fatalf("IPv4: %#04x, want %#04x", got, want)
		}
		s6, d6 := Addr{r.Uint64(), r.Uint64()}, Addr{r.Uint64(), r.Uint64()}
		h6 := make([]byte, 40)
		s6.put16((*[16]byte)(h6))
		d6.put16((*[16]byte)(h6[16:]))
		binary.BigEndian.PutUint32(h6[32:], uint32(length))
		h6[39] = UDP
		if got, want := PseudoSum(s6, d6, UDP, length), slowSum(h6); got != want {
			t.Fatalf("IPv6: %#04x, want %#04x", got, want)
		}
	}
}
