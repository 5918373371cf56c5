package packet

// IP protocol numbers that the package knows.
const (
	ICMP   uint8 = 1
	TCP    uint8 = 6
	UDP    uint8 = 17
	ICMPv6 uint8 = 58
	SCTP   uint8 = 132
)

// TCP flags, as in Packet.TCPFlags.
const (
	FIN uint8 = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// Packet is a frame with its headers found. The caller owns it and reuses it.
// Data is its only pointer.
type Packet struct {
	Data []byte // the frame, cut to the end of the IP packet

	Src, Dst Addr // of the IP header

	L3, L4 uint16 // where in Data the IP header and what it carries begin
	TTL    uint8  // hop limit in IPv6
	TOS    uint8  // traffic class in IPv6
	Proto  uint8  // transport protocol, behind all extension headers

	HasPorts         bool   // TCP, UDP or SCTP, and no later fragment
	SrcPort, DstPort uint16 // valid if HasPorts, else zero
	TCPFlags         uint8  // valid if TCP and HasPorts, else zero
	ICMPType         uint8  // valid if ICMP or ICMPv6 and no later fragment
	ICMPCode         uint8  // likewise

	V6       bool
	DF       bool // IPv4 "don't fragment"
	Options  bool // IPv4 options are present
	IsError  bool // an ICMP error message
	Fragment bool // a part of a datagram, or an IPv6 one that is the whole of it

	MoreFragments bool      // valid if Fragment
	Tags          uint8     // number of VLAN tags
	Tag           [2]uint16 // VLAN identifiers, the outer one first
	FragOffset    uint16    // bytes; valid if Fragment
	FragHeader    uint16    // where in Data the IPv6 fragment header is, 0 = none
	Chunk         uint8     // valid if SCTP and HasPorts, else zero
	FragID        uint32    // IPv4 identification, or of the IPv6 fragment header

	Quote Quote // valid if IsError and Quote.OK
}

// Quote is what an ICMP error tells of the packet it is about.
type Quote struct {
	OK       bool // its headers could be read as far as NAT needs them
	HasPorts bool // TCP, UDP or SCTP, and no later fragment
	Fragment bool // a later fragment: it has no ports
	Proto    uint8

	SrcPort, DstPort uint16 // valid if HasPorts, else zero
	L3, L4           uint16 // where in Packet.Data its headers begin
	Src, Dst         Addr
}

// Flow returns the direction that p belongs to; ports are zero without
// HasPorts.
func (p *Packet) Flow() Flow {
	return Flow{p.Proto, Endpoint{p.Src, p.SrcPort}, Endpoint{p.Dst, p.DstPort}}
}

// Flow returns the direction of the quoted packet; ports are zero without
// HasPorts.
func (q *Quote) Flow() Flow {
	return Flow{q.Proto, Endpoint{q.Src, q.SrcPort}, Endpoint{q.Dst, q.DstPort}}
}

// IPLen returns the length of the IP packet, as MTUs count it.
func (p *Packet) IPLen() int { return len(p.Data) - int(p.L3) }
