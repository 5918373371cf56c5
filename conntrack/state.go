package conntrack

import "github.com/lvx-lb/lvx/packet"

// State is where a connection stands, in the order and with the names of IPVS.
type State uint8

// The states of TCP connections, the only one of UDP, that of a datagram which
// opens no connection (its answer is expected, requests do not find it), and
// those of SCTP, which shares NoState.
const (
	NoState State = iota
	Established
	SynSent
	SynRecv
	FinWait
	TimeWait
	Close
	CloseWait
	LastAck
	Listen
	SynAck
	UDP
	OnePacket
	SCTPInit1
	SCTPInit
	SCTPCookieSent
	SCTPCookieReplied
	SCTPCookieWait
	SCTPCookie
	SCTPCookieEchoed
	SCTPEstablished
	SCTPShutdownSent
	SCTPShutdownReceived
	SCTPShutdownAckSent
	SCTPRejected
	SCTPClosed
	NumStates
)

var stateNames = [NumStates]string{"NONE", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT",
	"CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "SYNACK", "UDP", "ONE_PACKET",
	"INIT1", "INIT", "C-SENT", "C-REPLIED", "C-WAIT", "COOKIE", "C-ECHOED", "ESTABLISHED",
	"S-SENT", "S-RECEIVED", "S-ACK-SENT", "REJECTED", "CLOSED"}

// String returns the name that ipvsadm -lnc prints.
func (s State) String() string {
	if s < NumStates {
		return stateNames[s]
	}
	return "BUG!"
}

const (
	halfOpen = 1<<NoState | 1<<SynSent | 1<<SynRecv | 1<<SynAck | 1<<OnePacket |
		1<<SCTPInit1 | 1<<SCTPInit | 1<<SCTPCookieSent | 1<<SCTPCookieReplied |
		1<<SCTPCookieWait | 1<<SCTPCookie | 1<<SCTPCookieEchoed
	active = 1<<Established | 1<<SynSent | 1<<SynRecv | 1<<SynAck | 1<<SCTPEstablished
	inUse  = 1<<Established | 1<<SCTPEstablished
)

// Active reports whether the connection counts as ActiveConn.
func (s State) Active() bool { return active>>s&1 != 0 }

// Established reports whether the handshake is over and nobody has closed.
func (s State) Established() bool { return inUse>>s&1 != 0 }

// HalfOpen reports whether the handshake is not finished, or no connection
// was meant; such records give way when the table is full.
func (s State) HalfOpen() bool { return halfOpen>>s&1 != 0 }

// Direction says which of its two flows a packet of a connection belongs to.
type Direction uint8

// The two flows: client to virtual endpoint, real server to client.
const (
	ToServer Direction = iota + 1
	ToClient
)

// Event is what a TCP segment or an SCTP packet means for the state.
type Event uint8

// The events of TCP; EventNone is a segment without any of the flags.
const (
	EventSYN Event = iota
	EventFIN
	EventACK
	EventRST
	EventNone
)

// The events of SCTP; EventData stands for every chunk that is not named, and
// EventEmpty for none.
const (
	EventData Event = iota + 5
	EventInit
	EventInitAck
	EventCookieEcho
	EventCookieAck
	EventShutdown
	EventShutdownAck
	EventShutdownComplete
	EventError
	EventAbort
	EventEmpty
)

// EventOf reads the TCP flags: RST before SYN before FIN before ACK.
func EventOf(tcpFlags uint8) Event { return events[tcpFlags&0x1f] }

var events = func() (table [32]Event) {
	for flags := range table {
		switch {
		case flags&0x04 != 0:
			table[flags] = EventRST
		case flags&0x02 != 0:
			table[flags] = EventSYN
		case flags&0x01 != 0:
			table[flags] = EventFIN
		case flags&0x10 != 0:
			table[flags] = EventACK
		default:
			table[flags] = EventNone
		}
	}
	return table
}()

// EventOfChunk reads the chunk that decides.
func EventOfChunk(chunk uint8) Event {
	switch {
	case chunk < uint8(len(chunkEvents)):
		return chunkEvents[chunk]
	case chunk == packet.NoChunk:
		return EventEmpty
	}
	return EventData
}

var chunkEvents = [...]Event{
	packet.ChunkData:             EventData,
	packet.ChunkInit:             EventInit,
	packet.ChunkInitAck:          EventInitAck,
	packet.ChunkSack:             EventData,
	packet.ChunkHeartbeat:        EventData,
	packet.ChunkHeartbeatAck:     EventData,
	packet.ChunkAbort:            EventAbort,
	packet.ChunkShutdown:         EventShutdown,
	packet.ChunkShutdownAck:      EventShutdownAck,
	packet.ChunkError:            EventError,
	packet.ChunkCookieEcho:       EventCookieEcho,
	packet.ChunkCookieAck:        EventCookieAck,
	packet.ChunkECNE:             EventData,
	packet.ChunkCWR:              EventData,
	packet.ChunkShutdownComplete: EventShutdownComplete,
}

// Tick counts 100 ms; it wraps after 13 years.
type Tick uint32

// Second is a second in ticks.
const Second Tick = 10

// Timeouts says how long a connection without packets stays in each state.
type Timeouts [NumStates]Tick

// maxRTO is the longest that an SCTP host waits before it sends again (RFC
// 9260 section 16), and a second.
const maxRTO = 61 * Second

// DefaultTimeouts returns those of IPVS.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		NoState:     2 * Second,
		Established: 900 * Second,
		SynSent:     120 * Second,
		SynRecv:     60 * Second,
		FinWait:     120 * Second,
		TimeWait:    120 * Second,
		Close:       10 * Second,
		CloseWait:   60 * Second,
		LastAck:     30 * Second,
		Listen:      120 * Second,
		SynAck:      120 * Second,
		UDP:         300 * Second,
		OnePacket:   10 * Second,

		SCTPInit1:            4 * Second,
		SCTPInit:             maxRTO,
		SCTPCookieSent:       maxRTO,
		SCTPCookieReplied:    maxRTO,
		SCTPCookieWait:       maxRTO,
		SCTPCookie:           maxRTO,
		SCTPCookieEchoed:     maxRTO,
		SCTPEstablished:      900 * Second,
		SCTPShutdownSent:     maxRTO,
		SCTPShutdownReceived: maxRTO,
		SCTPShutdownAckSent:  maxRTO,
		SCTPRejected:         4 * Second,
		SCTPClosed:           maxRTO,
	}
}
