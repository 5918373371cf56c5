package packet

import "encoding/binary"

const builtTTL = 64 // of everything that a builder writes

// BuildReset writes into dst the answer of a host that knows nothing of the
// connection of p, as Linux gives it, and returns its length: an RST, or an
// ABORT of SCTP. It is 0, and nothing is sent, for a reset, a fragment, another
// protocol, or when dst is too short. The frame has no VLAN tag and goes back to
// where p came from.
func BuildReset(dst []byte, p *Packet) int {
	if p.Proto == SCTP {
		return buildAbort(dst, p)
	}
	if p.Proto != TCP || !p.HasPorts || p.Fragment || p.TCPFlags&RST != 0 {
		return 0
	}
	frame := answer(dst, p, tcpLen)
	if frame == nil {
		return 0
	}
	in, out := p.Data[p.L4:], frame[len(frame)-tcpLen:]
	clear(out)
	binary.BigEndian.PutUint16(out[0:2], p.DstPort)
	binary.BigEndian.PutUint16(out[2:4], p.SrcPort)
	out[12], out[13] = tcpLen/4<<4, RST
	if p.TCPFlags&ACK != 0 {
		copy(out[4:8], in[8:12])
	} else {
		// What p took of the sequence space: payload, SYN and FIN.
		taken := len(in) - int(in[12]>>4)*4 + int(p.TCPFlags>>1&1) + int(p.TCPFlags&1)
		binary.BigEndian.PutUint32(out[8:12], binary.BigEndian.Uint32(in[4:8])+uint32(taken))
		out[13] |= ACK
	}
	binary.BigEndian.PutUint16(out[16:18],
		Checksum(out, uint32(PseudoSum(p.Dst, p.Src, TCP, tcpLen))))
	// The class is reflected without its congestion bits.
	writeIP(frame[ethLen:], p.Dst, p.Src, TCP, p.TOS&^3, 0, true)
	return len(frame)
}

// reflected is the T bit of an ABORT: its tag is that of the packet it answers.
const reflected = 1

// buildAbort is BuildReset for SCTP (RFC 9260 section 8.4). Who is answered
// knows the tag of its own packet; an INIT has none, and names the one it wants.
func buildAbort(dst []byte, p *Packet) int {
	if !p.HasPorts || p.Fragment || p.Chunk == NoChunk || p.Chunk == ChunkAbort || p.Chunk == ChunkShutdownComplete {
		return 0
	}
	in, tag, flags := p.Data[p.L4:], 4, uint8(reflected)
	if p.Chunk == ChunkInit {
		tag, flags = sctpLen+chunkLen, 0
	}
	frame := answer(dst, p, sctpLen+chunkLen)
	if frame == nil || len(in) < tag+4 {
		return 0
	}
	out := frame[len(frame)-sctpLen-chunkLen:]
	binary.BigEndian.PutUint16(out[0:2], p.DstPort)
	binary.BigEndian.PutUint16(out[2:4], p.SrcPort)
	copy(out[4:8], in[tag:])
	out[12], out[13], out[14], out[15] = ChunkAbort, flags, 0, chunkLen
	fillCRC(out)
	writeIP(frame[ethLen:], p.Dst, p.Src, SCTP, p.TOS&^3, 0, true)
	return len(frame)
}

// answer cuts from dst a frame for n transport bytes behind an IP header of
// the family of p, and fills its Ethernet header; nil when dst is too short.
func answer(dst []byte, p *Packet, n int) []byte {
	ip, etherType := ipv4Len, uint16(typeIPv4)
	if p.V6 {
		ip, etherType = ipv6Len, typeIPv6
	}
	length := ethLen + ip + n
	if length > len(dst) {
		return nil
	}
	frame := dst[:length:length]
	copy(frame[0:6], p.Data[6:12])
	copy(frame[6:12], p.Data[0:6])
	binary.BigEndian.PutUint16(frame[12:14], etherType)
	return frame
}

// writeIP writes the IP header of packet, whose length is that of the slice.
// id and df are for IPv4 only.
func writeIP(packet []byte, src, dst Addr, proto, tos uint8, id uint16, df bool) {
	if !src.Is4() {
		h := packet[:ipv6Len]
		clear(h)
		h[0], h[1] = 6<<4|tos>>4, tos<<4
		binary.BigEndian.PutUint16(h[4:6], uint16(len(packet)-ipv6Len))
		h[6], h[7] = proto, builtTTL
		src.put16((*[16]byte)(h[8:24]))
		dst.put16((*[16]byte)(h[24:40]))
		return
	}
	h := packet[:ipv4Len]
	clear(h)
	h[0], h[1] = 4<<4|ipv4Len/4, tos
	binary.BigEndian.PutUint16(h[2:4], uint16(len(packet)))
	binary.BigEndian.PutUint16(h[4:6], id)
	if df {
		h[6] = 0x40
	}
	h[8], h[9] = builtTTL, proto
	binary.BigEndian.PutUint32(h[12:16], src.V4())
	binary.BigEndian.PutUint32(h[16:20], dst.V4())
	setHeaderChecksum(h)
}
