package dataplane

import "github.com/lvx-lb/lvx/packet"

// Verdict is what becomes of a frame. The zero Verdict is Drop.
type Verdict uint8

// The verdicts.
const (
	Drop     Verdict = iota // back to the free frames, counted by Reason
	Transmit                // queued for transmission, rewritten
	Hold                    // kept until its hop or its datagram is known
	PassUp                  // given to the kernel unchanged
	HandOver                // given to the worker that owns the connection
)

// Reason says why a frame was dropped.
type Reason uint8

// The reasons. The first ones are packet.Fault values, one to one.
const (
	Unexplained     Reason = iota // a bug: no stage gave a reason
	Truncated                     // shorter than its headers say
	NotIP                         // no IPv4 or IPv6 packet
	BadVersion                    // IP version and EtherType differ
	BadLength                     // impossible header or total length
	BadChecksum                   // of the IPv4 header, an ICMP error, or TCP without a connection
	BadOption                     // IPv4 options that cannot be read; passed up
	Martian                       // source no host can have: 127/8, multicast, an own address
	SourceRoute                   // IPv4 source route option
	BadFragment                   // overlapping, too long, or telling of another end
	BadExtension                  // IPv6 extension headers that cannot be read; passed up
	NoLink                        // VLAN tags that no configured link has
	NoConn                        // answered with a reset: no connection and no SYN
	NoServer                      // no usable server in the service
	ServerGone                    // the connection's server was deleted
	TableFull                     // no room for another connection
	EndpointFull                  // the client endpoint holds 64 connections
	NoPort                        // another connection has the client port at the server, and no other is free
	TemplatesFull                 // no room to remember another client of a persistent service
	NoRoute                       // no route to the next address
	NoHop                         // next hop does not answer, or too many are unknown
	TTLExpired                    // TTL or hop limit used up
	TooBig                        // larger than the route's MTU and not to be fragmented
	HoldFull                      // no room to wait
	FragmentTimeout               // its datagram did not become whole in time
	Recut                         // not lost: its bytes went out in other frames
	NoFrame                       // no free frame to build a packet in
	TxFull                        // transmit ring full after one kick
	PassUpFull                    // ring or rate of the way back exhausted
	HandFull                      // the owner's worker does not keep up
	ErrorLimited                  // an ICMP error was due but limited
	ProbeAnswer                   // not lost: it answered a probe
	DropPacket                    // sysctl drop_packet: one new connection of so many
	DialogsFull                   // no room for another control connection of FTP
	FTPSplit                      // a part of an FTP answer that is replaced as a whole
	NumReasons
)

var reasonNames = [NumReasons]string{
	"unexplained", "truncated", "not-ip", "bad-version", "bad-length", "bad-checksum", "bad-option", "martian",
	"source-route", "bad-fragment", "bad-extension", "no-link", "no-conn", "no-server", "server-gone",
	"table-full", "endpoint-full", "no-port", "templates-full", "no-route", "no-hop", "ttl-expired", "too-big", "hold-full",
	"fragment-timeout", "recut", "no-frame", "tx-full", "passup-full", "hand-full", "error-limited", "probe-answer", "drop-packet",
	"dialogs-full", "ftp-split",
}

// String returns the reason's name as counters show it.
func (r Reason) String() string {
	if r >= NumReasons {
		return "invalid"
	}
	return reasonNames[r]
}

// ofFault maps what Parse found to the reason of the drop. The first reasons
// carry the faults' numbers; a test holds the two lists together.
func ofFault(f packet.Fault) Reason { return Reason(f) }

// Counters are what a worker did with every frame it had in hands. At each
// batch boundary Balanced holds.
type Counters struct {
	Received    uint64
	Originated  uint64 // frames built by the worker in frames of its own
	Transmitted uint64 // queued for transmission
	PassedUp    uint64
	Taken       uint64 // from other workers
	Handed      uint64 // to other workers
	Misplaced   uint64 // of Handed: packets that NICs should have placed by their client
	Dropped     [NumReasons]uint64

	Forwarded   uint64 // translated packets, whether sent, held or cut into pieces
	Resets      uint64 // of Transmitted: RSTs for a service's own endpoint, and of probes
	Errors      uint64 // of Transmitted: ICMP errors
	NewConns    uint64
	Expired     uint64
	Probes      uint64 // of Transmitted: questions whether a connection lives
	Kept        uint64 // connections that live, by both ends' word
	EmptyRounds uint64
	Rounds      uint64
}

// DroppedTotal sums the drops of all reasons.
func (c *Counters) DroppedTotal() uint64 {
	var sum uint64
	for _, n := range c.Dropped {
		sum += n
	}
	return sum
}

// Balanced reports the frame balance: received + originated = queued for
// transmit + dropped by reason + passed up + held. Among several workers, what
// each took from and handed to others counts too.
func (c *Counters) Balanced(held int) bool {
	return c.Received+c.Taken+c.Originated == c.Transmitted+c.DroppedTotal()+c.PassedUp+c.Handed+uint64(held)
}

// Each names every counter, held frames among them. Drops are named
// "drop.REASON".
func (c *Counters) Each(held int, f func(name string, n uint64)) {
	f("received", c.Received)
	f("originated", c.Originated)
	f("transmitted", c.Transmitted)
	f("passed-up", c.PassedUp)
	f("dropped", c.DroppedTotal())
	f("held", uint64(held))
	f("taken", c.Taken)
	f("handed", c.Handed)
	f("misplaced", c.Misplaced)
	f("forwarded", c.Forwarded)
	f("resets", c.Resets)
	f("icmp-errors", c.Errors)
	f("new-conns", c.NewConns)
	f("expired-conns", c.Expired)
	f("probes", c.Probes)
	f("kept-conns", c.Kept)
	for r, n := range c.Dropped {
		f("drop."+Reason(r).String(), n)
	}
}
