package packet

import (
	"encoding/binary"
	"hash/crc32"
)

// Chunk types of SCTP that mean something to a connection (RFC 9260 section
// 3.2), as in Packet.Chunk.
const (
	ChunkData uint8 = iota
	ChunkInit
	ChunkInitAck
	ChunkSack
	ChunkHeartbeat
	ChunkHeartbeatAck
	ChunkAbort
	ChunkShutdown
	ChunkShutdownAck
	ChunkError
	ChunkCookieEcho
	ChunkCookieAck
	ChunkECNE
	ChunkCWR
	ChunkShutdownComplete

	NoChunk uint8 = 255 // there is none; the RFC keeps the number free
)

const (
	sctpLen  = 12
	chunkLen = 4 // its header
)

// chunkOf returns the chunk that decides what b, an SCTP packet, means: the
// first one, or the ABORT behind a cookie.
func chunkOf(b []byte) uint8 {
	if len(b) < sctpLen+chunkLen {
		return NoChunk
	}
	chunk := b[sctpLen]
	if chunk != ChunkCookieEcho && chunk != ChunkCookieAck {
		return chunk
	}
	length := int(binary.BigEndian.Uint16(b[sctpLen+2:]))
	next := sctpLen + (length+3)&^3
	if length >= chunkLen && next+chunkLen <= len(b) && b[next] == ChunkAbort {
		return ChunkAbort
	}
	return chunk
}

// translateSCTP is Translate for SCTP, whose CRC32c covers no address. A CRC
// is linear: one that was wrong stays wrong by the same difference, so nobody
// behind the director takes a damaged packet for a whole one, unless r fills it.
func (p *Packet) translateSCTP(r *Rewrite, side Side, partial bool) {
	p.place(r.Addr, r.IPDiff, side)
	p.movePortSCTP(r.Port, side, partial, r.FillsSCTP)
}

func (p *Packet) movePortSCTP(to uint16, side Side, partial, fills bool) {
	b, port, at := p.Data[p.L4:], &p.SrcPort, 0
	if side == Destination {
		port, at = &p.DstPort, 2
	}
	changed := uint32(*port^to) << 16 >> (8 * at)
	*port = to
	binary.BigEndian.PutUint16(b[at:], to)
	stored := b[8:12]
	switch {
	case p.Fragment: // the CRC is over bytes that are not here
	case partial && isPartialCRC(stored), changed != 0 && fills:
		p.FillChecksum()
	case changed != 0:
		crc := binary.LittleEndian.Uint32(stored) ^ crcDifference(changed, len(b))
		binary.LittleEndian.PutUint32(stored, crc)
	}
}

// isPartialCRC reports whether the kernel has left the CRC to a NIC. It covers
// no pseudo header, so the field is 0; one of 4 billion complete ones is too,
// and computing it again does no harm.
func isPartialCRC(stored []byte) bool { return binary.LittleEndian.Uint32(stored) == 0 }

func fillCRC(b []byte) {
	binary.LittleEndian.PutUint32(b[8:], 0)
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, castagnoli))
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zeros      [4096]byte
)

// crcDifference returns what changes in the CRC of n bytes when their first
// four are changed by the bits of changed: the CRC, begun with 0, of that and
// of zeros. It reads none of the packet.
func crcDifference(changed uint32, n int) uint32 {
	c := uint32(0)
	for shift := 24; shift >= 0; shift -= 8 {
		c = castagnoli[byte(c)^byte(changed>>shift)] ^ c>>8
	}
	c = ^c // Update begins and ends with the complement
	for n -= 4; n > 0; n -= len(zeros) {
		c = crc32.Update(c, castagnoli, zeros[:min(n, len(zeros))])
	}
	return ^c
}

// FirstChunk is the type of the first chunk, where Chunk may be that of an
// ABORT behind it.
func (p *Packet) FirstChunk() uint8 {
	if p.Chunk == NoChunk {
		return NoChunk
	}
	return p.Data[p.L4+sctpLen]
}
