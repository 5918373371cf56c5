package nic

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"
)

var _ Queue = (*Pcap)(nil)

var epoch = time.Unix(1_700_000_000, 0)

// capture builds a pcap file with a frame of each length, 40 ms apart.
func capture(order binary.AppendByteOrder, magic, link uint32, lengths ...int) *bytes.Buffer {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	b = order.AppendUint64(b, 0)
	b = order.AppendUint32(b, 65535)
	b = order.AppendUint32(b, link)
	for i, n := range lengths {
		fraction := uint32(i%25) * 40e3
		if magic == 0xa1b23c4d {
			fraction *= 1000
		}
		b = order.AppendUint32(b, uint32(epoch.Unix())+uint32(i/25))
		b = order.AppendUint32(b, fraction)
		b = order.AppendUint32(b, uint32(n))
		b = order.AppendUint32(b, uint32(n))
		b = append(b, bytes.Repeat([]byte{byte(i)}, n)...)
	}
	return bytes.NewBuffer(b)
}

// usual is a capture as tcpdump writes it on a PC.
func usual(lengths ...int) *bytes.Buffer {
	return capture(binary.LittleEndian, 0xa1b2c3d4, 1, lengths...)
}

func TestACaptureIsReplayedIntoAnother(t *testing.T) {
	lengths := []int{60, 61, 4000, 62, 63, 64, 65}
	tests := map[string]*bytes.Buffer{
		"little endian, µs": capture(binary.LittleEndian, 0xa1b2c3d4, 1, lengths...),
		"little endian, ns": capture(binary.LittleEndian, 0xa1b23c4d, 1, lengths...),
		"big endian, µs":    capture(binary.BigEndian, 0xa1b2c3d4, 1, lengths...),
		"big endian, ns":    capture(binary.BigEndian, 0xa1b23c4d, 1, lengths...),
	}
	for name, file := range tests {
		t.Run(name, func(t *testing.T) {
			pool := NewPool(4, 2048)
			ledger := NewLedger(pool)
			var out bytes.Buffer
			p, err := NewPcap(pool, file, &out)
			if err != nil {
				t.Fatal(err)
			}
			p.Span = 100 * time.Millisecond
			q := ledger.Watch(p, "pcap")
			free := chunksOf(pool)
			for _, more := p.Next(); more; _, more = p.Next() {
				free = forward(q, q, make([]Frame, 3), free)
			}
			free = forward(q, q, nil, free)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if err := ledger.Check(free); err != nil {
				t.Fatal(err)
			}
			if p.Stats().RxDropped != 1 || !p.Time().Equal(epoch.Add(240*time.Millisecond)) {
				t.Errorf("ends at %v with %+v", p.Time(), p.Stats())
			}
			wantCapture(t, out.Bytes(), []int{60, 61, 62, 63, 64, 65})
		})
	}
}

// wantCapture wants frames of these lengths in a file with nanoseconds.
func wantCapture(t *testing.T, file []byte, lengths []int) {
	t.Helper()
	if len(file) < 24 || binary.LittleEndian.Uint32(file) != 0xa1b23c4d || binary.LittleEndian.Uint32(file[20:]) != 1 {
		t.Fatalf("file header %x", file)
	}
	file = file[24:]
	for _, n := range lengths {
		if len(file) < 16+n || int(binary.LittleEndian.Uint32(file[8:])) != n {
			t.Fatalf("no frame of %d bytes in %x", n, file)
		}
		file = file[16+n:]
	}
	if len(file) != 0 {
		t.Fatalf("after the last frame: %x", file)
	}
}

func TestABatchOfACaptureCoversNoMoreThanItsSpan(t *testing.T) {
	pool := NewPool(16, 2048)
	p, err := NewPcap(pool, usual(60, 60, 60, 60, 60), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Span = 100 * time.Millisecond
	p.Fill(chunksOf(pool))
	frames := make([]Frame, 64)
	for _, want := range []struct {
		n    int
		last time.Duration
	}{{3, 80 * time.Millisecond}, {2, 160 * time.Millisecond}, {0, 160 * time.Millisecond}} {
		if n := p.Receive(frames); n != want.n || !p.Time().Equal(epoch.Add(want.last)) {
			t.Fatalf("received %d until %v, want %+v", n, p.Time().Sub(epoch), want)
		}
	}
}

func TestWhatIsNoEthernetCaptureIsRefused(t *testing.T) {
	tests := map[string]struct {
		file *bytes.Buffer
		want error
	}{
		"raw IP":    {capture(binary.LittleEndian, 0xa1b2c3d4, 101), ErrLinkType},
		"pcapng":    {capture(binary.LittleEndian, 0x0a0d0d0a, 0), ErrNewer},
		"empty":     {&bytes.Buffer{}, ErrCapture},
		"too short": {bytes.NewBufferString("abc"), ErrCapture},
		"a text":    {bytes.NewBufferString("a text that is longer than a header"), ErrCapture},
	}
	for name, c := range tests {
		if _, err := NewPcap(NewPool(1, 2048), c.file, nil); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACaptureCutShortIsReadToTheCut(t *testing.T) {
	file := usual(60, 60)
	file.Truncate(file.Len() - 10)
	pool := NewPool(4, 2048)
	p, err := NewPcap(pool, file, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Fill(chunksOf(pool))
	if n := p.Receive(make([]Frame, 4)); n != 1 {
		t.Errorf("received %d", n)
	}
	if err := p.Close(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the cut: %v", err)
	}
}

func FuzzPcap(f *testing.F) {
	f.Add(usual(60, 3000).Bytes())
	f.Add(capture(binary.BigEndian, 0xa1b23c4d, 1, 60, 61).Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		pool := NewPool(4, 2048)
		p, err := NewPcap(pool, bytes.NewReader(file), io.Discard)
		if err != nil {
			return
		}
		free := chunksOf(pool)
		ledger := NewLedger(pool)
		q := ledger.Watch(p, "pcap")
		for _, more := p.Next(); more; _, more = p.Next() {
			free = forward(q, q, make([]Frame, 2), free)
		}
		p.Close()
		if err := ledger.Check(free); err != nil {
			t.Fatal(err)
		}
	})
}
