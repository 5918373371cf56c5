package nic

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Errors of capture files.
var (
	ErrCapture  = errors.New("not a pcap file")
	ErrNewer    = errors.New("a pcapng file: convert it with `editcap -F pcap`")
	ErrLinkType = errors.New("not a capture of Ethernet frames")
)

// The pcap format (draft-ietf-opsawg-pcap): a file header of 24 bytes, then
// for each frame a header of 16 and its bytes. Numbers are in the byte order
// of the writer, which the magic tells.
const (
	magicMicros  = 0xa1b2c3d4
	magicNanos   = 0xa1b23c4d
	magicNewer   = 0x0a0d0d0a // of pcapng, the same in both orders
	linkEthernet = 1
	maxCaptured  = 1 << 18 // as libpcap's; more is a broken file
)

// captureReader reads a pcap file.
type captureReader struct {
	in     *bufio.Reader
	order  binary.ByteOrder
	unit   time.Duration // of the second half of a timestamp
	header [16]byte
	data   []byte
}

func newCaptureReader(in io.Reader) (*captureReader, error) {
	r := &captureReader{in: bufio.NewReaderSize(in, 1<<16), order: binary.LittleEndian}
	var header [24]byte
	if _, err := io.ReadFull(r.in, header[:]); err != nil {
		return nil, fmt.Errorf("read capture: %w (%w)", ErrCapture, err)
	}
	if m := binary.BigEndian.Uint32(header[:]); m == magicMicros || m == magicNanos {
		r.order = binary.BigEndian
	}
	switch r.order.Uint32(header[:]) {
	case magicMicros:
		r.unit = time.Microsecond
	case magicNanos:
		r.unit = time.Nanosecond
	case magicNewer:
		return nil, fmt.Errorf("read capture: %w", ErrNewer)
	default:
		return nil, fmt.Errorf("read capture: %w", ErrCapture)
	}
	if link := r.order.Uint32(header[20:]) & 0xffff; link != linkEthernet {
		return nil, fmt.Errorf("read capture of link type %d: %w", link, ErrLinkType)
	}
	return r, nil
}

// next returns the bytes of the next frame, valid until the next call, and
// when it was seen. The error is io.EOF at the end of a whole file.
func (r *captureReader) next() ([]byte, time.Time, error) {
	if _, err := io.ReadFull(r.in, r.header[:]); err == io.EOF {
		return nil, time.Time{}, err
	} else if err != nil {
		return nil, time.Time{}, fmt.Errorf("read capture: %w", err)
	}
	seconds, fraction := r.order.Uint32(r.header[:]), r.order.Uint32(r.header[4:])
	n := r.order.Uint32(r.header[8:])
	if n > maxCaptured {
		return nil, time.Time{}, fmt.Errorf("read capture: frame of %d bytes: %w", n, ErrCapture)
	}
	if int(n) > cap(r.data) {
		r.data = make([]byte, n)
	}
	r.data = r.data[:n]
	if _, err := io.ReadFull(r.in, r.data); err != nil {
		return nil, time.Time{}, fmt.Errorf("read capture: frame cut short: %w", io.ErrUnexpectedEOF)
	}
	return r.data, time.Unix(int64(seconds), int64(fraction)*int64(r.unit)), nil
}

// captureWriter writes a pcap file with nanoseconds.
type captureWriter struct {
	out    *bufio.Writer
	header [16]byte
}

func newCaptureWriter(out io.Writer) (*captureWriter, error) {
	w := &captureWriter{out: bufio.NewWriterSize(out, 1<<16)}
	header := make([]byte, 24)
	binary.LittleEndian.PutUint32(header, magicNanos)
	binary.LittleEndian.PutUint16(header[4:], 2) // version 2.4
	binary.LittleEndian.PutUint16(header[6:], 4)
	binary.LittleEndian.PutUint32(header[16:], maxCaptured)
	binary.LittleEndian.PutUint32(header[20:], linkEthernet)
	if _, err := w.out.Write(header); err != nil {
		return nil, fmt.Errorf("write capture: %w", err)
	}
	return w, nil
}

// write writes a frame of length bytes, of which data was captured.
func (w *captureWriter) write(when time.Time, length int, data []byte) error {
	binary.LittleEndian.PutUint32(w.header[:], uint32(when.Unix()))
	binary.LittleEndian.PutUint32(w.header[4:], uint32(when.Nanosecond()))
	binary.LittleEndian.PutUint32(w.header[8:], uint32(len(data)))
	binary.LittleEndian.PutUint32(w.header[12:], uint32(length))
	if _, err := w.out.Write(w.header[:]); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	if _, err := w.out.Write(data); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}

func (w *captureWriter) flush() error {
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}
