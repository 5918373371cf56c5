package dataplane

import (
	"slices"

	"github.com/lvx-lb/lvx/packet"
)

// LinkID numbers the links of a director; at most MaxLinks.
type LinkID uint8

// MaxLinks is how many links a director can have: their sets are one word.
const MaxLinks = 64

const noLink = LinkID(255)

// Here stands in the place of a link for the director itself.
const Here = noLink

// MAC is an Ethernet address.
type MAC [6]byte

// Link is a NIC with its VLAN tags, as a worker needs it.
type Link struct {
	Name    string
	NIC     int       // index into the worker's NICs
	Tags    [2]uint16 // VLAN ids, outermost first
	NTags   uint8
	MAC     MAC
	MTU     int
	Partial bool // peers may leave checksums partial (veth, virtio, tap)
	Addr4   packet.Addr
	Addr6   packet.Addr // sources of ICMP errors towards this link
}

// source returns the address from which errors to a host on l are sent.
func (l *Link) source(v6 bool) packet.Addr {
	if v6 {
		return l.Addr6
	}
	return l.Addr4
}

// joinLinks fills what linkOf looks at.
func (c *Config) joinLinks() {
	for n := range c.untagged {
		c.untagged[n] = noLink
	}
	for id := range c.Links {
		l := &c.Links[id]
		n := uint8(l.NIC)
		c.nics[n] = append(c.nics[n], LinkID(id))
		if l.NTags == 0 {
			c.untagged[n] = LinkID(id)
		}
		if l.Partial {
			c.partial |= 1 << id
		}
		c.exits[id] = exit{packet.MACFrom(l.MAC), n, l.NTags}
	}
}

// exit is what every frame that leaves over a link needs of it.
type exit struct {
	mac  packet.MAC
	nic  uint8
	tags uint8 // how many
}

// exitOf returns the exit of a link.
func (c *Config) exitOf(id LinkID) *exit { return &c.exits[id&(MaxLinks-1)] }

// isPartial reports whether frames of a link may have partial checksums.
func (c *Config) isPartial(id LinkID) bool { return c.partial>>(id&(MaxLinks-1))&1 != 0 }

// linkOf finds the link of NIC nic with p's tags, noLink if there is none. To it
// as to steering, VLAN id 0 is a priority without a VLAN.
func (c *Config) linkOf(nic uint8, p *packet.Packet) LinkID {
	if p.Tags == 0 {
		return c.untagged[nic]
	}
	tags := p.Tag[:min(p.Tags, 2)]
	if tags[0] == 0 {
		tags = tags[1:]
	}
	if n := len(tags); n > 0 && tags[n-1] == 0 {
		tags = tags[:n-1]
	}
	for _, id := range c.nics[nic] {
		if l := &c.Links[id]; slices.Equal(l.Tags[:l.NTags], tags) {
			return id
		}
	}
	return noLink
}
