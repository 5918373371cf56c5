package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Address is an address of this machine.
type Address struct {
	Ifindex    int
	Prefix     netip.Prefix // the address itself, with the length of its network
	Peer       netip.Addr   // the other end of a point-to-point link, else invalid
	Scope      uint8        // 0 = global, 253 = link, 254 = host
	Secondary  bool
	Tentative  bool // duplicate address detection is not done
	Deprecated bool
	Removed    bool // it is gone
}

// decodeAddress reads an ifaddrmsg.
func decodeAddress(b []byte) (Address, bool) {
	if len(b) < unix.SizeofIfAddrmsg || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 {
		return Address{}, false
	}
	a := Address{Ifindex: int(number(b[4:8])), Scope: b[3]}
	flags := uint32(b[2])
	var local, peer netip.Addr
	for kind, v := range attributes(b[unix.SizeofIfAddrmsg:]) {
		switch kind {
		case unix.IFA_LOCAL:
			local = address(v)
		case unix.IFA_ADDRESS:
			peer = address(v)
		case unix.IFA_FLAGS:
			flags = number(v)
		}
	}
	if !local.IsValid() {
		local = peer
	}
	if peer != local {
		a.Peer = peer
	}
	a.Prefix = netip.PrefixFrom(local, int(b[1]))
	a.Secondary = b[0] == unix.AF_INET && flags&unix.IFA_F_SECONDARY != 0
	a.Tentative = flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0
	a.Deprecated = flags&unix.IFA_F_DEPRECATED != 0
	return a, a.Prefix.IsValid()
}

// same reports whether a and b are one address, perhaps changed.
func (a Address) same(b Address) bool {
	return a.Ifindex == b.Ifindex && a.Prefix == b.Prefix && a.Peer == b.Peer
}

// reaches reports whether gateway is on the network of a.
func (a Address) reaches(gateway netip.Addr) bool {
	if a.Peer.IsValid() {
		return netip.PrefixFrom(a.Peer, a.Prefix.Bits()).Contains(gateway)
	}
	return a.Prefix.Contains(gateway)
}

// serves reports whether a may be the source of a packet of the family.
func (a Address) serves(v6 bool) bool {
	return a.Prefix.Addr().Is6() == v6 && !a.Tentative && a.Scope < unix.RT_SCOPE_LINK
}

// sourceFor chooses the address that a packet which leaves by ifindex to
// gateway carries: the first on the gateway's network, else the first of the
// link, else the first of any link.
func sourceFor(all []Address, ifindex int, gateway netip.Addr, v6 bool) netip.Addr {
	var link, any netip.Addr
	for _, a := range all {
		switch {
		case !a.serves(v6) || a.Secondary || a.Deprecated:
		case a.Ifindex == ifindex && a.reaches(gateway):
			return a.Prefix.Addr()
		case a.Ifindex == ifindex && !link.IsValid():
			link = a.Prefix.Addr()
		case !any.IsValid():
			any = a.Prefix.Addr()
		}
	}
	if link.IsValid() {
		return link
	}
	return any
}

// Addresses lists the addresses of the namespace in the kernel's order.
func (m *Mirror) Addresses() []Address {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.addresses)
}

// AddAddress gives the link the address a as a /32 or /128, without duplicate
// address detection. ErrExists says that it had it already.
func (m *Mirror) AddAddress(ifindex int, a netip.Addr) error {
	req := addressRequest(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, ifindex, a)
	if err := m.requests.ask(req); errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add address %s: %w", a, ErrExists)
	} else if err != nil {
		return fmt.Errorf("add address %s: %w", a, err)
	}
	return nil
}

// RemoveAddress takes the /32 or /128 address a from the link. An address that
// is not there is no error.
func (m *Mirror) RemoveAddress(ifindex int, a netip.Addr) error {
	err := m.requests.ask(addressRequest(unix.RTM_DELADDR, 0, ifindex, a))
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %s: %w", a, err)
	}
	return nil
}

func addressRequest(kind, flags, ifindex int, a netip.Addr) *nl.NetlinkRequest {
	a = a.Unmap()
	msg := nl.NewIfAddrmsg(familyOf(a))
	msg.Prefixlen, msg.Index = uint8(a.BitLen()), uint32(ifindex)
	if a.Is6() {
		msg.Flags = unix.IFA_F_NODAD
	}
	req := nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, a.AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, a.AsSlice()))
	return req
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
