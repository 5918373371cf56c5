package nic

import (
	"encoding/binary"
	"math/bits"
)

// FinishChecksum in Frame.Options leaves a transport checksum to whoever
// sends the frame (XDP_TX_METADATA).
const FinishChecksum = 1 << 1

// MetadataLen is how many bytes before such a frame say what to finish: struct
// xsk_tx_metadata. A UMEM that has them wants that room before every frame.
const MetadataLen = 24

const finish = 1 << 1 // XDP_TXMD_FLAGS_CHECKSUM

// LeaveChecksum has the checksum of f finished when it is sent: the sum from
// start to the end goes to offset behind start, where the sum of the pseudo
// header is by now. Only queues that are known for it do so.
func (p *Pool) LeaveChecksum(f *Frame, start, offset int) {
	m := (*[12]byte)(p.Bytes[f.Addr-MetadataLen:])
	binary.NativeEndian.PutUint64(m[:8], finish)
	binary.NativeEndian.PutUint16(m[8:10], uint16(start))
	binary.NativeEndian.PutUint16(m[10:], uint16(offset))
	f.Options = FinishChecksum
}

// finished returns the checksum that is left to be finished and where in f it
// goes, as the kernel does it.
func (p *Pool) finished(f Frame) (at int, checksum uint16) {
	m := p.Bytes[f.Addr-MetadataLen : f.Addr]
	start := int(binary.NativeEndian.Uint16(m[8:]))
	b, sum := p.Data(f)[start:], uint32(0)
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	sum = (sum + bits.RotateLeft32(sum, 16)) >> 16
	if sum == 0xffff {
		sum = 0 // a checksum of 0 would be none
	}
	return start + int(binary.NativeEndian.Uint16(m[10:])), ^uint16(sum)
}

// copyOut copies f as it is on the wire, as far as there is room.
func (p *Pool) copyOut(to []byte, f Frame) int {
	n := copy(to, p.Data(f))
	if f.Options&FinishChecksum == 0 {
		return n
	}
	if at, checksum := p.finished(f); at+2 <= n {
		binary.BigEndian.PutUint16(to[at:], checksum)
	}
	return n
}

// finishable reports whether the kernel would take what is said before f.
func (p *Pool) finishable(f Frame) bool {
	if f.Addr&uint64(p.Chunk-1) < MetadataLen {
		return false
	}
	m := p.Bytes[f.Addr-MetadataLen : f.Addr]
	end := int(binary.NativeEndian.Uint16(m[8:])) + int(binary.NativeEndian.Uint16(m[10:])) + 2
	return binary.NativeEndian.Uint64(m) == finish && end <= int(f.Len)
}
