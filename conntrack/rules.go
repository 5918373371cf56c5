package conntrack

// rules give the next state by direction, state and event. The sizes are
// powers of two so that an index needs no check.
type rules [4][32][16]State

var (
	normal = newRules()
	secure = newSecureRules()
)

// Next returns the state that follows s when e comes from the direction dir.
func (s State) Next(dir Direction, e Event) State { return normal.next(s, dir, e) }

// NextSecure is Next by the rules of SetSecure.
func (s State) NextSecure(dir Direction, e Event) State { return secure.next(s, dir, e) }

func (r *rules) next(s State, dir Direction, e Event) State { return r[dir&3][s&31][e&15] }

// newRules joins what the protocols do with their own events.
func newRules() *rules {
	r := tcpRules
	for dir, rows := range sctpRules() {
		for i, row := range rows {
			s := NoState
			if i > 0 {
				s = SCTPInit1 + State(i-1)
			}
			copy(r[dir][s][EventData:], row[:])
			r[dir][s][EventEmpty] = s
		}
	}
	return &r
}

// newSecureRules are those of IPVS's secure_tcp: a connection is established
// by the real server's word, not by the client's.
func newSecureRules() *rules {
	r := *normal
	r[ToServer][SynRecv][EventACK] = SynRecv
	for _, e := range []Event{EventSYN, EventFIN, EventACK} {
		r[ToServer][SynAck][e] = SynAck
	}
	r[ToServer][SynAck][EventRST] = Close
	r[ToClient][SynRecv][EventSYN] = SynAck
	r[ToClient][SynAck][EventSYN] = SynAck
	return &r
}

// tcpRules are the normal ones of IPVS.
var tcpRules = rules{
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

// sctpRules are those of IPVS, a row a state, NoState and then the others in
// their order.
func sctpRules() map[Direction][14][10]State {
	const (
		no, i1, in, cs, cr = NoState, SCTPInit1, SCTPInit, SCTPCookieSent, SCTPCookieReplied
		cw, co, ce, es     = SCTPCookieWait, SCTPCookie, SCTPCookieEchoed, SCTPEstablished
		ss, sr, sa, rj, cl = SCTPShutdownSent, SCTPShutdownReceived, SCTPShutdownAckSent, SCTPRejected, SCTPClosed
	)
	return map[Direction][14][10]State{
		// data, INIT, INIT-ACK, COOKIE-ECHO, COOKIE-ACK, SHUTDOWN, SHUTDOWN-ACK, SHUTDOWN-COMPLETE, ERROR, ABORT
		ToServer: {
			{es, i1, cw, cr, es, sr, cl, cl, cl, cl}, // no
			{i1, in, cw, in, i1, i1, in, cl, i1, cl}, // i1
			{in, in, cw, in, in, in, in, cl, in, cl}, // in
			{cs, cs, cs, cr, cs, cs, cs, cs, cs, cl}, // cs
			{cr, cr, cr, cr, cr, cr, cr, cr, cr, cl}, // cr
			{cw, cw, co, cw, cw, cw, cw, cw, cw, rj}, // cw
			{co, co, co, co, co, co, co, co, co, cl}, // co
			{ce, ce, ce, ce, es, ce, ce, ce, cl, cl}, // ce
			{es, es, es, es, es, sr, es, es, es, cl}, // es
			{ss, ss, ss, ss, ss, ss, cl, ss, ss, cl}, // ss
			{sr, sr, sr, sr, sr, sr, sr, sr, sr, cl}, // sr
			{sa, sa, sa, sa, sa, sa, cl, cl, sa, cl}, // sa
			{rj, in, rj, rj, rj, rj, rj, rj, rj, cl}, // rj
			{cl, in, cl, cl, cl, cl, cl, cl, cl, cl}, // cl
		},
		ToClient: {
			{es, cw, cs, ce, es, ss, sa, cl, cl, cl}, // no
			{i1, cw, cs, ce, es, ss, sa, i1, cl, rj}, // i1
			{in, cw, cs, ce, es, ss, sa, in, cl, cl}, // in
			{cs, cw, cs, ce, es, ss, sa, cs, cl, cl}, // cs
			{cr, cw, cr, ce, es, ss, sa, cr, cl, cl}, // cr
			{cw, cw, cw, ce, es, ss, cw, cw, cw, cl}, // cw
			{co, cw, co, ce, es, ss, co, co, co, cl}, // co
			{ce, cw, ce, ce, es, ss, ce, ce, ce, cl}, // ce
			{es, es, es, es, es, ss, es, es, es, cl}, // es
			{ss, cw, ss, ss, ss, ss, sa, ss, ss, cl}, // ss
			{sr, cw, sr, sr, sr, sr, sa, sr, sr, cl}, // sr
			{sa, cw, sa, sa, sa, sa, sa, sa, sa, cl}, // sa
			{rj, cw, rj, rj, rj, rj, rj, rj, rj, cl}, // rj
			{cl, cw, cl, cl, cl, cl, cl, cl, cl, cl}, // cl
		},
	}
}
