package packet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// tale is a stream as its sender tells it and as its receiver hears it.
type tale struct {
	v6          bool
	first       uint32 // sequence number of the first byte, for the sender
	before      uint32 // what the receiver counts more from the start
	told, heard []byte
	at, end     int // of the text in told
	text        string
}

func newTale(r *rand.Rand) *tale {
	x := &tale{
		v6: r.IntN(2) == 0, first: -uint32(r.IntN(200)), before: uint32(r.IntN(20)) - 10,
		told: make([]byte, 100+r.IntN(100)), text: strings.Repeat("x", 1+r.IntN(30)),
	}
	for i := range x.told {
		x.told[i] = byte(r.Uint32())
	}
	x.at = r.IntN(50)
	x.end = x.at + 1 + r.IntN(40)
	x.heard = append(append(bytes.Clone(x.told[:x.at]), x.text...), x.told[x.end:]...)
	return x
}

func (x *tale) splice() Splice {
	return Splice{x.first + uint32(x.at), x.first + uint32(x.end), x.before, x.before + uint32(len(x.text)-(x.end-x.at))}
}

// segment is told[from:to] on its way; off spoils its checksum.
func (x *tale) segment(t *testing.T, seq, ack uint32, body []byte, off bool, options ...layers.TCPOption) Packet {
	t.Helper()
	s := tcp4("10.0.0.11:21", "198.51.100.7:40000", PSH|ACK, body)
	if x.v6 {
		s = tcp6("[fd00::11]:21", "[2001:db8::7]:40000", PSH|ACK, body)
	}
	l := s[2].(*layers.TCP)
	l.Seq, l.Ack, l.Options = seq, ack, options
	frame := append(build(64, s...), make([]byte, 64)...)
	var p Packet
	if f := Parse(frame[:len(frame)-64], &p); f != OK {
		t.Fatal(f)
	}
	p.Data = frame[:len(frame)-64]
	if off {
		p.Data[p.checksumAt()] ^= 0x55
	}
	return p
}

func TestAStreamIsHeardWithTheOtherText(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		x := newTale(r)
		s := x.splice()
		from := r.IntN(len(x.told))
		to := from + r.IntN(len(x.told)-from+1)
		p := x.segment(t, x.first+uint32(from), 7, x.told[from:to], false)
		cut := to > from && from < x.end && to > x.at && (from > x.at || to < x.end)
		if s.Cuts(&p) != cut {
			t.Fatalf("%d to %d of a text from %d to %d: cut %v", from, to, x.at, x.end, !cut)
		}
		if cut || from > x.at && from < x.end {
			continue
		}
		first, last, whole := s.Within(&p)
		if whole != (from <= x.at && to >= x.end) {
			t.Fatalf("%d to %d of a text from %d to %d: whole %v", from, to, x.at, x.end, whole)
		}
		s.Shift(&p)
		if whole && !p.ReplaceText(append(p.Data, make([]byte, 64)...), first, last, []byte(x.text)) {
			t.Fatal("no room")
		}
		var again Packet
		if Parse(p.Data, &again) != OK || !same(p, again) {
			t.Fatalf("the Packet says %+v, its bytes say %+v", p, again)
		}
		if err := VerifyChecksums(p.Data); err != nil {
			t.Fatal(err)
		}
		at, end := p.Text()
		place := p.Seq() - x.first - x.before
		if int(place)+end-at > len(x.heard) || !bytes.Equal(p.Data[at:end], x.heard[place:int(place)+end-at]) {
			t.Fatalf("%d to %d is heard at %d", from, to, place)
		}
	}
}

func TestAcknowledgmentsAreCountedBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		x := newTale(r)
		s := x.splice()
		back := func(heard, partly int) uint32 {
			switch {
			case heard >= x.at+len(x.text):
				return x.first + uint32(heard-len(x.text)+x.end-x.at)
			case heard > x.at:
				return x.first + uint32(partly)
			}
			return x.first + uint32(heard)
		}
		var blocks [3]int
		options := []layers.TCPOption{{OptionType: layers.TCPOptionKindSACK, OptionLength: 18, OptionData: make([]byte, 16)}}
		for n := r.IntN(4); n > 0; n-- { // on any byte of the segment
			options = append([]layers.TCPOption{{OptionType: layers.TCPOptionKindNop}}, options...)
		}
		for i := range blocks {
			blocks[i] = r.IntN(len(x.heard))
			if i > 0 {
				binary.BigEndian.PutUint32(options[len(options)-1].OptionData[4*i-4:], x.first+x.before+uint32(blocks[i]))
			}
		}
		acked := r.IntN(len(x.heard) + 1)
		p := x.segment(t, 7, x.first+x.before+uint32(acked), nil, false, options...)
		s.Unshift(&p)
		if err := VerifyChecksums(p.Data); err != nil {
			t.Fatal(err)
		}
		var l layers.TCP
		if err := l.DecodeFromBytes(p.Data[p.L4:], gopacket.NilDecodeFeedback); err != nil {
			t.Fatal(err)
		}
		if want := back(acked, x.at); l.Ack != want {
			t.Fatalf("%d is %d, want %d", acked, l.Ack-x.first, want-x.first)
		}
		if done := acked >= x.at+len(x.text); s.Open() == done {
			t.Fatalf("%d acknowledged of a text at %d: open %v", acked, x.at, s.Open())
		}
		if !s.Open() {
			continue // what is selected lies behind what is acknowledged
		}
		for _, o := range l.Options {
			if o.OptionType != layers.TCPOptionKindSACK {
				continue
			}
			left, right := binary.BigEndian.Uint32(o.OptionData), binary.BigEndian.Uint32(o.OptionData[4:])
			if left != back(blocks[1], x.end) || right != back(blocks[2], x.at) {
				t.Fatalf("block from %d to %d is from %d to %d", blocks[1], blocks[2], left-x.first, right-x.first)
			}
		}
	}
}

func TestAWrongChecksumStaysWrong(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		x := newTale(r)
		s := x.splice()
		p := x.segment(t, x.first, 7, x.told, true)
		wrong := p.segmentSum()
		s.Shift(&p)
		at, _ := p.Text()
		p.ReplaceText(append(p.Data, make([]byte, 64)...), at+x.at, at+x.end, []byte(x.text))
		s.Unshift(&p)
		if p.segmentSum() != wrong || VerifyChecksums(p.Data) == nil {
			t.Fatalf("the sum is %#x, it was %#x", p.segmentSum(), wrong)
		}
	}
}

func TestATextThatDoesNotFitChangesNothing(t *testing.T) {
	x := &tale{told: []byte("227 (10,0,0,11,4,1)\r\n")}
	p := x.segment(t, 1, 2, x.told, false)
	before := bytes.Clone(p.Data)
	at, _ := p.Text()
	if p.ReplaceText(p.Data, at+5, at+17, []byte("192,168,100,100,4,1")) || !bytes.Equal(p.Data, before) {
		t.Fatalf("%q", p.Data)
	}
}

// FuzzSplice: whatever the options of a segment are, no panic, nothing longer
// or shorter, and a valid checksum stays valid.
func FuzzSplice(f *testing.F) {
	for i, frame := range seeds() {
		f.Add(frame, uint32(990+i), uint32(1010), uint32(i), uint32(i+3))
	}
	f.Fuzz(func(t *testing.T, frame []byte, from, end, before, after uint32) {
		frame = mended(frame)
		var p, again Packet
		if Parse(frame, &p) != OK || p.Proto != TCP || !p.HasPorts || p.Fragment {
			return
		}
		s := Splice{from, end, before, after}
		size, valid := len(p.Data), VerifyChecksums(p.Data) == nil
		s.Cuts(&p)
		at, stop := p.Text()
		if first, last, whole := s.Within(&p); whole && (first < at || last < first || last > stop) {
			t.Fatalf("the text from %d to %d has a part from %d to %d", at, stop, first, last)
		}
		s.Shift(&p)
		s.Unshift(&p)
		if len(p.Data) != size || Parse(p.Data, &again) != OK || !same(p, again) {
			t.Fatalf("the Packet says %+v, its bytes say %+v", p, again)
		}
		if err := VerifyChecksums(p.Data); valid && err != nil {
			t.Fatal(err)
		}
	})
}
