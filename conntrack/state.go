package conntrack

// State is where a connection stands, in the order and with the names of IPVS.
type State uint8

// The states of TCP connections, the only one of UDP, and that of a datagram
// which opens no connection: its answer is expected, requests do not find it.
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
	NumStates
)

var stateNames = [NumStates]string{"NONE", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT", "TIME_WAIT",
	"CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "SYNACK", "UDP", "ONE_PACKET"}

// String returns the name that ipvsadm -lnc prints.
func (s State) String() string {
	if s < NumStates {
		return stateNames[s]
	}
	return "BUG!"
}

const (
	halfOpen = 1<<NoState | 1<<SynSent | 1<<SynRecv | 1<<SynAck | 1<<OnePacket
	active   = 1<<Established | 1<<SynSent | 1<<SynRecv | 1<<SynAck
)

// Active reports whether the connection counts as ActiveConn.
func (s State) Active() bool { return active>>s&1 != 0 }

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

// Event is what a TCP segment means for the state.
type Event uint8

// The events; EventNone is a segment without any of the flags.
const (
	EventSYN Event = iota
	EventFIN
	EventACK
	EventRST
	EventNone
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

// transitions gives the next state by direction, state and event: the normal
// table of IPVS. The sizes are powers of two so that an index needs no check.
var transitions = [4][16][8]State{
	ToServer: {
		// ........... SYN          FIN        ACK          RST      none
		NoState:     {SynRecv, Close, Established, Close, Close},
		Established: {Established, CloseWait, Established, Close, Close},
		SynSent:     {Established, SynSent, SynSent, Close, Close},
		SynRecv:     {SynRecv, TimeWait, Established, SynRecv, Close},
		FinWait:     {SynRecv, TimeWait, FinWait, Close, Close},
		TimeWait:    {SynRecv, TimeWait, TimeWait, Close, Close},
		Close:       {SynRecv, Close, Close, Close, Close},
		CloseWait:   {SynRecv, CloseWait, CloseWait, Close, Close},
		LastAck:     {SynRecv, LastAck, Close, LastAck, Close},
		Listen:      {SynRecv, Listen, Listen, Listen, Close},
		SynAck:      {SynRecv, TimeWait, Established, SynRecv, Close},
		UDP:         {UDP, UDP, UDP, UDP, UDP},
		OnePacket:   {OnePacket, OnePacket, OnePacket, OnePacket, OnePacket},
	},
	ToClient: {
		NoState:     {SynSent, TimeWait, Established, Close, Close},
		Established: {Established, FinWait, Established, Close, Close},
		SynSent:     {SynSent, SynSent, SynSent, SynSent, Close},
		SynRecv:     {SynRecv, TimeWait, Established, Close, Close},
		FinWait:     {SynSent, FinWait, FinWait, Close, Close},
		TimeWait:    {SynSent, TimeWait, TimeWait, TimeWait, Close},
		Close:       {SynSent, Close, Close, Close, Close},
		CloseWait:   {SynSent, TimeWait, CloseWait, Close, Close},
		LastAck:     {SynSent, LastAck, LastAck, Close, Close},
		Listen:      {Listen, Listen, Established, Close, Close},
		SynAck:      {SynRecv, TimeWait, Established, Close, Close},
		UDP:         {UDP, UDP, UDP, UDP, UDP},
		OnePacket:   {OnePacket, OnePacket, OnePacket, OnePacket, OnePacket},
	},
}

// Next returns the state that follows s when e comes from the direction dir.
func (s State) Next(dir Direction, e Event) State { return transitions[dir&3][s&15][e&7] }

// Tick counts 100 ms; it wraps after 13 years.
type Tick uint32

// Second is a second in ticks.
const Second Tick = 10

// Timeouts says how long a connection without packets stays in each state.
type Timeouts [NumStates]Tick

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
	}
}
