package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Reach says whether frames can be sent to a neighbour.
type Reach uint8

// The states of a neighbour.
const (
	Unknown    Reach = iota // the kernel has forgotten it or never knew it
	Incomplete              // asked for, no answer yet
	Usable                  // its MAC address is known
	Failed                  // it does not answer
)

// String names r in one word.
func (r Reach) String() string {
	names := [...]string{"unknown", "incomplete", "usable", "failed"}
	if int(r) >= len(names) {
		return "invalid"
	}
	return names[r]
}

// Neighbour is a machine on a link.
type Neighbour struct {
	Ifindex int
	IP      netip.Addr
	MAC     [6]byte
	State   Reach
}

// place names a neighbour.
type place struct {
	ifindex int
	ip      netip.Addr
}

// known is a neighbour as the kernel holds it.
type known struct {
	mac     [6]byte
	state   Reach
	fixed   bool // permanent or without ARP: the kernel never asks
	managed bool // the kernel keeps it alive by itself
}

// Limits of the neighbours that are kept alive.
const (
	maxHops   = 8192
	askRate   = 100 // a second
	askAgain  = 15 * time.Second
	askPause  = time.Second // between two questions for one neighbour
	upkeepGap = time.Second
)

// flagsExt and managed are NDA_FLAGS_EXT and NTF_EXT_MANAGED (Linux 5.16).
const (
	flagsExt = 15
	managed  = 1
)

const (
	usableStates = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | fixedStates
	fixedStates  = unix.NUD_PERMANENT | unix.NUD_NOARP
)

// decodeNeighbour reads an ndmsg; ok is false for bridges' and proxies'.
func decodeNeighbour(b []byte) (at place, k known, ok bool) {
	if len(b) < unix.SizeofNdMsg || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 || b[10]&unix.NTF_PROXY != 0 {
		return at, k, false
	}
	at.ifindex = int(number(b[4:8]))
	state := binary.NativeEndian.Uint16(b[8:])
	heard := false
	for kind, v := range attributes(b[unix.SizeofNdMsg:]) {
		switch kind {
		case unix.NDA_DST:
			at.ip = address(v)
		case unix.NDA_LLADDR:
			if len(v) == len(k.mac) {
				k.mac, heard = [6]byte(v), true
			}
		case flagsExt:
			k.managed = number(v)&managed != 0
		}
	}
	k.fixed = state&fixedStates != 0
	switch {
	case state&usableStates != 0 && heard:
		k.state = Usable
	case state&unix.NUD_FAILED != 0:
		k.state = Failed
	default:
		k.state = Incomplete
	}
	return at, k, at.ip.IsValid()
}

// Neighbour returns what is known of ip on the link now.
func (m *Mirror) Neighbour(ifindex int, ip netip.Addr) Neighbour {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := place{ifindex, ip.Unmap()}
	return at.with(m.neighbours[at])
}

func (at place) with(k known) Neighbour { return Neighbour{at.ifindex, at.ip, k.mac, k.state} }

// Resolve asks the kernel for the MAC address of ip on the link and keeps the
// neighbour alive until Release. The answer comes by OnNeighbour, after about
// three seconds as Failed if nobody answers. Asking again for one that is kept
// is cheap. ErrBusy says that it is kept but will be asked for later.
func (m *Mirror) Resolve(ifindex int, ip netip.Addr) error {
	at := place{ifindex, ip.Unmap()}
	if ifindex <= 0 || !at.ip.IsValid() || at.ip.IsUnspecified() || at.ip.IsMulticast() {
		return fmt.Errorf("resolve %s: %w", ip, ErrInvalid)
	}
	now := time.Now()
	m.mu.Lock()
	asked, kept := m.kept[at]
	if !kept && len(m.kept) >= maxHops {
		m.mu.Unlock()
		return fmt.Errorf("resolve %s: %w", ip, ErrTooMany)
	}
	if !kept {
		m.kept[at] = time.Time{}
	}
	// An answer on the way, a fresh one, or one that the kernel or the
	// administrator sees to: nothing to ask.
	if k := m.neighbours[at]; k.fixed || k.managed && k.state != Failed || now.Sub(asked) < askPause {
		m.mu.Unlock()
		return nil
	}
	allowed := m.allow(at, now)
	m.mu.Unlock()
	if !allowed {
		return fmt.Errorf("resolve %s: %w", ip, ErrBusy)
	}
	return m.probe(at, managed)
}

// Release ends the upkeep of a neighbour.
func (m *Mirror) Release(ifindex int, ip netip.Addr) {
	at := place{ifindex, ip.Unmap()}
	m.mu.Lock()
	_, kept := m.kept[at]
	delete(m.kept, at)
	undo := kept && m.neighbours[at].managed
	m.mu.Unlock()
	if undo {
		// A question without the flag takes the flag away.
		_ = m.probe(at, 0)
	}
}

// allow takes one of this second's questions for at. The caller holds m.mu.
func (m *Mirror) allow(at place, now time.Time) bool {
	if now.Sub(m.second) >= time.Second {
		m.second, m.asked = now, 0
	}
	if m.asked >= askRate {
		return false
	}
	m.asked++
	m.kept[at] = now
	return true
}

// probe has the kernel use the neighbour as if it had a packet for it.
//
// It must never be sent for a permanent neighbour: the kernel would make it an
// ordinary one that ages.
func (m *Mirror) probe(at place, ext uint32) error {
	msg := make([]byte, unix.SizeofNdMsg)
	msg[0] = uint8(familyOf(at.ip))
	binary.NativeEndian.PutUint32(msg[4:], uint32(at.ifindex))
	msg[10] = unix.NTF_USE
	req := nl.NewNetlinkRequest(unix.RTM_NEWNEIGH, unix.NLM_F_CREATE|unix.NLM_F_ACK)
	msg = append(msg, nl.NewRtAttr(unix.NDA_DST, at.ip.AsSlice()).Serialize()...)
	if ext != 0 {
		msg = append(msg, nl.NewRtAttr(flagsExt, nl.Uint32Attr(ext)).Serialize()...)
	}
	req.AddRawData(msg)
	err := m.requests.ask(req)
	if errors.Is(err, unix.ENOBUFS) {
		err = ErrTableFull
	}
	if err != nil {
		return fmt.Errorf("resolve %s: %w", at.ip, err)
	}
	return nil
}

// forgotten makes upkeep ask for a kept neighbour as soon as it may. The caller
// holds m.mu.
func (m *Mirror) forgotten(at place) {
	if _, kept := m.kept[at]; kept {
		m.kept[at] = time.Time{}
	}
}

// upkeep asks again for kept neighbours that the kernel does not keep alive by
// itself or has forgotten.
func (m *Mirror) upkeep(now time.Time) {
	var ask []place
	m.mu.Lock()
	for at, asked := range m.kept {
		k := m.neighbours[at]
		due := now.Sub(asked) >= askAgain || k.state == Unknown && now.Sub(asked) >= askPause
		if k.fixed || k.managed || !due || !m.links[at.ifindex].Up {
			continue
		}
		if !m.allow(at, now) {
			break
		}
		ask = append(ask, at)
	}
	m.mu.Unlock()
	for _, at := range ask {
		// A link that went down meanwhile refuses; the next round asks again.
		_ = m.probe(at, managed)
	}
}
