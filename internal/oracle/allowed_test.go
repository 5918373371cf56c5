package oracle

import (
	"encoding/binary"
	"slices"

	"github.com/lvx-lb/lvx/internal/oracle/record"
	"github.com/lvx-lb/lvx/packet"
)

// allowance is a difference that is meant, or that nobody could tell from
// chance. level changes both frames so that nothing else is hidden by it.
type allowance struct {
	name, reason string
	level        func(kernel, lvx *view) // nil: it is not about the bytes of a frame
}

// Some allowances are about whole frames, or about words.
const (
	foreignFragments = "foreign-fragments"
	limited          = "error-limited"
	warned           = "warnings"
)

// allowances is the one list of what may differ.
var allowances = []allowance{
	{limited, "both limit the ICMP errors to a host by the same rule, but the kernel's local answers, which lvx leaves to it, " +
		"use up the same tokens: one may be missing when the host was sent a burst of them before", nil},
	{foreignFragments, "IPVS puts a datagram of a server together before it finds that no connection has it, and cuts it anew; " +
		"lvx lets the fragments pass as they came", nil},
	{warned, "lvx says what will not work, a server without a route for one; IPVS carries out the command and is silent", nil},
	{"identification", "of what a director sends itself without DF, the kernel chooses the identification by secret and time",
		func(k, l *view) {
			if !k.v6 && k.proto == protoICMP && k.own && l.own {
				k.forget(4, 6)
				l.forget(4, 6)
			}
		}},
	{"fragment-id-6", "a datagram of IPv6 that is fragmented again gets an identification chosen by secret",
		func(k, l *view) {
			if k.fragment6 && l.fragment6 {
				clear(k.frame[58:62])
				clear(l.frame[58:62])
			}
		}},
	{"timestamp", "the kernel writes the time of day into an IPv4 timestamp option, as a router may, also before it quotes it; lvx has no clock there",
		func(k, l *view) {
			if h := k.frame[k.quote:]; k.quote != 0 && k.quote == l.quote && h[0] > 0x45 && h[20] == 68 {
				from, to := 20+2, min(20+int(h[21]), int(h[0]&15)*4)
				k.forgetQuoted(from, to)
				l.forgetQuoted(from, to)
			}
			if !k.v6 && !l.v6 && k.frame[14] > 0x45 && k.frame[34] == 68 && l.frame[14] > 0x45 {
				from, to := 20+2, min(20+int(k.frame[35]), int(k.frame[14]&15)*4)
				k.forget(from, to)
				l.forget(from, to)
			}
		}},
	{"clock", "the kernel answers an ICMP timestamp request with the time of day",
		func(k, l *view) {
			if k.isClock() && l.isClock() {
				clear(k.frame[46:54])
				clear(l.frame[46:54])
				clear(k.frame[36:38])
				clear(l.frame[36:38])
			}
		}},
	{"flow-label", "the kernel gives the IPv6 packets that it sends itself a flow label made from a secret",
		func(k, l *view) {
			if k.v6 && l.v6 && k.own && l.own {
				k.frame[15] &= 0xf0
				l.frame[15] &= 0xf0
				clear(k.frame[16:18])
				clear(l.frame[16:18])
			}
		}},
}

// burst is how many ICMP errors a host is sent before they are limited.
const burst = 6

// view is a frame with the parts that allowances look at.
type view struct {
	frame     []byte
	v6, own   bool // own: an ICMP error, echo reply or reset made by the director itself
	fragment6 bool
	proto     uint8
	quote     int // of an ICMP error: where it quotes an IPv4 header, 0 = nowhere
}

func look(f record.Frame) (v view, ok bool) {
	v.frame = slices.Clone(f)
	var p packet.Packet
	if packet.Parse(v.frame, &p) != packet.OK {
		return v, false
	}
	v.v6, v.proto, v.fragment6 = p.V6, p.Proto, p.V6 && p.Fragment && p.FragHeader == 54
	v.own = p.TTL == 64 && slices.Contains(own, p.Src)
	if p.IsError && p.Quote.OK && !p.V6 {
		v.quote = int(p.Quote.L3)
	}
	return v, true
}

// isClock reports an ICMP timestamp reply with a right checksum.
func (v *view) isClock() bool {
	const timestampReply = 14
	return !v.v6 && v.own && v.proto == protoICMP && len(v.frame) == 54 && v.frame[34] == timestampReply && folded(sum(v.frame[34:], 0)) == 0
}

// forget clears bytes of the IPv4 header, and its checksum if that was right.
func (v *view) forget(from, to int) {
	h := v.frame[14 : 14+int(v.frame[14]&15)*4]
	if folded(sum(h, 0)) != 0 {
		return
	}
	clear(h[from:to])
	clear(h[10:12])
	binary.BigEndian.PutUint16(h[10:], folded(sum(h, 0)))
}

// forgetQuoted clears bytes of the IPv4 header that an ICMP error quotes, and the
// checksum of the error if that was right.
func (v *view) forgetQuoted(from, to int) {
	message := v.frame[14+int(v.frame[14]&15)*4:]
	if from > to || folded(sum(message, 0)) != 0 {
		return
	}
	clear(v.frame[v.quote+from : v.quote+to])
	clear(message[2:4])
}

// alike compares two frames and counts the allowances that were needed.
func (t *tally) alike(kernel, lvx record.Frame) bool {
	t.frames++
	if same(kernel, lvx) {
		return true
	}
	if kernel == nil || lvx == nil {
		return false
	}
	k, ok := look(kernel)
	l, ok2 := look(lvx)
	if !ok || !ok2 || k.proto != l.proto || k.v6 != l.v6 {
		return false
	}
	for _, a := range allowances {
		if a.level == nil {
			continue
		}
		before := slices.Concat(k.frame, l.frame)
		a.level(&k, &l)
		if !slices.Equal(before, slices.Concat(k.frame, l.frame)) {
			t.allowed[a.name]++
		}
	}
	return same(k.frame, l.frame)
}

// isError reports an ICMP error that the director made itself and that is
// subject to its limit.
func isError(f record.Frame) bool {
	var p packet.Packet
	if f == nil || packet.Parse(slices.Clone(f), &p) != packet.OK || !p.IsError || p.TTL != 64 || !slices.Contains(own, p.Src) {
		return false
	}
	return p.V6 || p.ICMPType != packet.Unreachable || p.ICMPCode != 4
}
