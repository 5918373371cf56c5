package oracle

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
)

const protoSCTP = 132

// chunks are the types of SCTP's chunks, one more than their number so that
// none is 0.
var chunks = map[string]uint8{
	"DATA": 1, "INIT": 2, "INIT-ACK": 3, "SACK": 4, "HEARTBEAT": 5, "HEARTBEAT-ACK": 6, "ABORT": 7, "SHUTDOWN": 8, "SHUTDOWN-ACK": 9,
	"ERROR": 10, "COOKIE-ECHO": 11, "COOKIE-ACK": 12, "ECNE": 13, "CWR": 14, "SHUTDOWN-COMPLETE": 15, "AUTH": 16, "ASCONF": 194,
}

// association returns an SCTP packet. Its flags name chunks, joined by "+";
// data goes into the last one.
func (p *probe) association() []byte {
	b := make([]byte, 12)
	p.ports(b)
	binary.BigEndian.PutUint32(b[4:], p.ack)
	names := strings.Split(p.flags, "+")
	for i, name := range names {
		body := make([]byte, 12)
		if i == len(names)-1 {
			body = append(body, p.data...)
		}
		if chunks[name] == 0 {
			continue // a packet without chunks
		}
		b = append(b, chunks[name]-1, 0, byte((4+len(body))>>8), byte(4+len(body)))
		b = append(append(b, body...), make([]byte, -len(body)&3)...)
	}
	crc := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	if p.checksum >= 0 {
		crc = uint32(p.checksum)
	}
	binary.LittleEndian.PutUint32(b[8:], crc)
	return b
}

func (a *author) chunk() string {
	return choose(a, "DATA", "DATA", "SACK", "HEARTBEAT", "HEARTBEAT-ACK", "INIT", "INIT-ACK", "COOKIE-ECHO", "COOKIE-ACK", "COOKIE-ECHO+DATA",
		"COOKIE-ACK+DATA", "COOKIE-ECHO+ABORT", "COOKIE-ACK+ABORT", "SHUTDOWN", "SHUTDOWN", "SHUTDOWN-ACK", "SHUTDOWN-COMPLETE", "ERROR", "ABORT",
		"ECNE", "CWR", "AUTH", "ASCONF", "none")
}

func (a *author) opening() string {
	return choose(a, "INIT", "INIT", "INIT", "INIT", "INIT", a.chunk())
}

// nextChunk is what a healthy association does next.
func (a *author) nextChunk(name string) {
	c, ok := a.some("SCTP")
	if !ok {
		return
	}
	fromClient, chunk := a.IntN(2) == 0, "DATA"
	switch c.state {
	case "INIT1", "INIT":
		fromClient, chunk = false, "INIT-ACK"
	case "C-SENT":
		fromClient, chunk = true, "COOKIE-ECHO+DATA"
	case "C-REPLIED":
		fromClient, chunk = false, "COOKIE-ACK"
	case "ESTABLISHED":
		chunk = choose(a, "DATA", "SACK", "SHUTDOWN")
	case "S-SENT":
		fromClient, chunk = true, "SHUTDOWN-ACK"
	case "S-RECEIVED":
		fromClient, chunk = false, "SHUTDOWN-ACK"
	case "S-ACK-SENT":
		fromClient, chunk = true, "SHUTDOWN-COMPLETE"
	}
	a.send(name, a.of(c, fromClient, chunk))
}
