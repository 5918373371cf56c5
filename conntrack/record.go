package conntrack

import "github.com/lvx-lb/lvx/packet"

// LayoutVersion changes whenever the bytes of a Record change their meaning.
const LayoutVersion = 3

// Record is one slot of the table: 64 bytes, one cache line, no pointers. The
// lower-case fields belong to the table; of the others the caller may write
// the hops, RouteGen and the bits of Flags outside OwnFlags.
type Record struct {
	key        uint64    // who the client is; zero = free; written last, cleared first
	wide       [2]uint64 // IPv6: the client's address; IPv4: packets seen here and by an XDP program
	Server     uint32    // server slot: index into Table.Pairs
	VPort      uint16    // port that the client called
	RPort      uint16    // port of the real server
	LastSeen   Tick      // when the last packet came
	Timeout    Tick      // how long the connection lives after LastSeen
	next, prev Index     // neighbours in the wheel slot
	generation uint32    // serial number of the insert; with the index it names the connection
	State      State
	Flags      Flags
	reach      uint8  // of the slot, not of the record: probes that keys at home here need
	probe      uint8  // which probe of its key found this slot
	ServerHop  uint16 // hop towards the real server
	ClientHop  uint16 // hop towards the client
	RouteGen   uint16 // generation of the routes that the hops come from
	spoke      uint16 // wheel slot that the record is linked in
}

// Flags mark a connection; bits outside OwnFlags are the caller's.
type Flags = uint8

// Flags of the table itself.
const (
	Shadowed  Flags = 1 << iota // a newer connection answers for the same reply tuple
	Shadowing                   // an older connection waits behind this one
	Elsewhere                   // the virtual address is not that of the server slot: see Table.Virtual
	Aliased                     // its answers are found by its alias
	OwnFlags  = Shadowed | Shadowing | Elsewhere | Aliased

	shadows = Shadowed | Shadowing
)

// The key word, from the top: occupied, IPv6, alias, five bits unused,
// protocol, client port, IPv4 address or 32 bits of the hash.
const (
	keyOccupied = 1 << 63
	keyV6       = 1 << 62
	keyAlias    = 1 << 61
)

func keyOf(hash uint64, proto uint8, client packet.Endpoint) uint64 {
	key := keyOccupied | uint64(proto)<<48 | uint64(client.Port)<<32
	if client.Addr.Is4() {
		return key | uint64(client.Addr.V4())
	}
	return key | keyV6 | hash&0xffffffff
}

// Client returns the endpoint that opened the connection.
func (r *Record) Client() packet.Endpoint {
	if r.key&keyV6 != 0 {
		return packet.Endpoint{Addr: packet.Addr{Hi: r.wide[0], Lo: r.wide[1]}, Port: r.port()}
	}
	return packet.Endpoint{Addr: packet.AddrFrom4(uint32(r.key)), Port: r.port()}
}

func (r *Record) port() uint16 { return uint16(r.key >> 32) }

// Proto returns the IP protocol number.
func (r *Record) Proto() uint8 { return uint8(r.key >> 48) }

// Packets returns how many packets an IPv4 connection has seen; IPv6 has no
// room for the counter.
func (r *Record) Packets() uint64 {
	if r.key&keyV6 != 0 {
		return 0
	}
	return r.wide[0] + r.wide[1]
}

// Expires returns how long the connection still lives if nothing comes.
func (r *Record) Expires(now Tick) Tick {
	left := r.deadline() - now
	if left > r.Timeout {
		return 0
	}
	return left
}

func (r *Record) deadline() Tick { return r.LastSeen + r.Timeout }

func (r *Record) free() bool { return r.key == 0 }

// isClient completes a comparison of key words, which for IPv4 says all.
func (r *Record) isClient(a packet.Addr) bool {
	return r.key&keyV6 == 0 || r.wide == [2]uint64{a.Hi, a.Lo}
}

// sameClient reports whether both have the same client endpoint and protocol.
func (r *Record) sameClient(o *Record) bool {
	return r.key == o.key && (r.key&keyV6 == 0 || r.wide == o.wide)
}
