package nic

import (
	"errors"
	"io"
	"time"
)

// Pcap is a Queue that receives the frames of a capture and writes those
// transmitted to another, each at the packet time of the frame received last.
// It plays as fast as it is asked: Time is the clock of a replay.
type Pcap struct {
	// Span is how much packet time one Receive covers at most; 0 is no limit.
	Span time.Duration

	pool       *Pool
	in         *captureReader
	out        *captureWriter
	fill       []uint64
	completion []uint64
	next       packet
	now        time.Time
	err        error // what ended reading or writing
	failed     bool  // nothing more is written
	stats      Stats
}

// packet is one that was read and not received yet.
type packet struct {
	data []byte
	time time.Time
	ok   bool
}

// NewPcap reads a pcap file from in and writes one to out; out may be nil.
func NewPcap(pool *Pool, in io.Reader, out io.Writer) (*Pcap, error) {
	n := pool.Chunks()
	p := &Pcap{pool: pool, fill: make([]uint64, 0, n), completion: make([]uint64, 0, n)}
	var err error
	if p.in, err = newCaptureReader(in); err != nil {
		return nil, err
	}
	if out != nil {
		if p.out, err = newCaptureWriter(out); err != nil {
			return nil, err
		}
	}
	p.read()
	return p, nil
}

// read looks one packet ahead.
func (p *Pcap) read() {
	data, when, err := p.in.next()
	p.next = packet{data, when, err == nil}
	if err != nil && err != io.EOF {
		p.err = err
	}
}

// Next returns the time of the frame that is received next, so that timers can
// run up to it. It is false at the end of the capture.
func (p *Pcap) Next() (time.Time, bool) { return p.next.time, p.next.ok }

// Time returns the time of the frame received last.
func (p *Pcap) Time() time.Time { return p.now }

// Close writes what is buffered. It returns what made reading or writing end
// early.
func (p *Pcap) Close() error {
	if p.out != nil && !p.failed {
		p.err = errors.Join(p.err, p.out.flush())
	}
	return p.err
}

// Receive implements Queue.
func (p *Pcap) Receive(frames []Frame) int {
	n := 0
	begin := p.next.time
	for n < len(frames) && len(p.fill) > 0 && p.next.ok {
		if p.Span > 0 && p.next.time.Sub(begin) >= p.Span {
			break
		}
		if len(p.next.data) > int(p.pool.Chunk)-Headroom {
			p.stats.RxDropped++
			p.read()
			continue
		}
		last := len(p.fill) - 1
		frames[n] = Frame{Addr: p.fill[last] + Headroom, Len: uint32(len(p.next.data))}
		p.fill = p.fill[:last]
		copy(p.pool.Data(frames[n]), p.next.data)
		p.now = p.next.time
		n++
		p.read()
	}
	return n
}

// Transmit implements Queue.
func (p *Pcap) Transmit(frames []Frame) int {
	n := min(len(frames), cap(p.completion)-len(p.completion))
	for _, f := range frames[:n] {
		p.write(f)
		p.completion = append(p.completion, p.pool.Start(f.Addr))
	}
	return n
}

func (p *Pcap) write(f Frame) {
	if !p.pool.valid(f) {
		p.stats.TxInvalid++
		return
	}
	if p.out == nil || p.failed {
		return
	}
	data := p.pool.Data(f)
	p.pool.copyOut(data, f)
	if err := p.out.write(p.now, len(data), data); err != nil {
		p.err, p.failed = err, true
	}
}

// Fill implements Queue.
func (p *Pcap) Fill(chunks []uint64) int {
	n := min(len(chunks), cap(p.fill)-len(p.fill))
	for _, c := range chunks[:n] {
		p.fill = append(p.fill, p.pool.Start(c))
	}
	return n
}

// Complete implements Queue.
func (p *Pcap) Complete(chunks []uint64) int {
	n := copy(chunks, p.completion)
	p.completion = p.completion[:copy(p.completion, p.completion[n:])]
	return n
}

// Kick implements Queue.
func (p *Pcap) Kick() {}

// FD implements Queue: a file is always ready.
func (p *Pcap) FD() int { return -1 }

// Stats implements Queue.
func (p *Pcap) Stats() Stats { return p.stats }
