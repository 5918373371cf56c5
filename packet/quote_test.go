package packet

import (
	"bytes"
	"testing"
)

// quoted returns an IP packet as a router would quote it, without Ethernet.
func quoted(kind, src, dst string) []byte { return makers[kind](src, dst, 62, []byte("data"))[ethLen:] }

func TestAnErrorAboutTheServerLooksLikeOneAboutTheVIP(t *testing.T) {
	for _, from := range []string{"10.0.0.11", "10.0.0.99"} { // the server, another router
		for _, kind := range []string{"IPv4 UDP", "IPv4 TCP"} {
			client, virtual, server := names(kind)
			_, vip := split(client), split(virtual)
			before, after := quoted(kind, client, server), quoted(kind, client, virtual)
			keepChecksum(kind, after, before)
			got := quoteTranslated(t, icmp4(from, split(client), 3, 4, before), end(virtual), Source)
			want := hop(icmp4(vip, split(client), 3, 4, after))
			if !bytes.Equal(got, want) {
				t.Errorf("%s from %s\n got % x\nwant % x", kind, from, got, want)
			}
		}
	}
	for _, kind := range []string{"IPv6 UDP", "IPv6 TCP"} {
		client, virtual, server := names(kind)
		before, after := quoted(kind, client, server), quoted(kind, client, virtual)
		keepChecksum(kind, after, before)
		got := quoteTranslated(t, icmp6("fd00::99", split(client), 2, 0, before), end(virtual), Source)
		want := hop(icmp6(split(virtual), split(client), 2, 0, after))
		if !bytes.Equal(got, want) {
			t.Errorf("%s\n got % x\nwant % x", kind, got, want)
		}
	}
}

func TestAnErrorToTheVIPReachesTheServer(t *testing.T) {
	for kind := range makers {
		client, virtual, server := names(kind)
		before, after := quoted(kind, virtual, client), quoted(kind, server, client)
		keepChecksum(kind, after, before)
		var got, want []byte
		if kind[3] == '4' {
			got = quoteTranslated(t, icmp4("203.0.113.9", split(virtual), 11, 0, before), end(server), Destination)
			want = hop(icmp4("203.0.113.9", split(server), 11, 0, after))
		} else {
			got = quoteTranslated(t, icmp6("2001:db8::9", split(virtual), 3, 0, before), end(server), Destination)
			want = hop(icmp6("2001:db8::9", split(server), 3, 0, after))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s\n got % x\nwant % x", kind, got, want)
		}
	}
}

func split(endpoint string) string { return end(endpoint).Addr.Netip().String() }

// keepChecksum gives the quoted packet the transport checksum of another: NAT
// leaves it.
func keepChecksum(kind string, to, from []byte) {
	at := ipv4Len
	if kind[3] == '6' {
		at = ipv6Len
	}
	size := map[string]int{"TCP": 2, "UDP": 2, "SCTP": 4}[kind[5:]]
	at += map[string]int{"TCP": 16, "UDP": 6, "SCTP": 8}[kind[5:]]
	copy(to[at:at+size], from[at:at+size])
}

// hop returns frame with a TTL less.
func hop(frame []byte) []byte {
	var p Packet
	Parse(frame, &p)
	p.Forward()
	return frame
}

func quoteTranslated(t *testing.T, frame []byte, to Endpoint, side Side) []byte {
	t.Helper()
	var p, again Packet
	if f := Parse(frame, &p); f != OK || !p.IsError || !p.Quote.OK || !p.Quote.HasPorts {
		t.Fatalf("%v, %+v", f, p)
	}
	p.TranslateQuote(to, side)
	if err := VerifyChecksums(p.Data); err != nil {
		t.Error(err)
	}
	if Parse(p.Data, &again); again.Quote != p.Quote {
		t.Errorf("the Packet says %+v, its bytes say %+v", p.Quote, again.Quote)
	}
	return p.Data
}

func TestAQuoteMayBeCutBehindThePorts(t *testing.T) {
	whole := quoted("IPv4 TCP", "198.51.100.7:40000", "10.0.0.11:8080")
	for n := range whole {
		var p Packet
		if f := Parse(icmp4("10.0.0.11", "198.51.100.7", 3, 3, whole[:n]), &p); f != OK || !p.IsError {
			t.Fatalf("%d bytes: %v", n, f)
		}
		if p.Quote.OK != (n >= 24) {
			t.Errorf("%d bytes: OK is %v", n, p.Quote.OK)
		}
	}
}

func TestWhatIsAnErrorAndWhatItQuotes(t *testing.T) {
	q4 := quoted("IPv4 UDP", "198.51.100.7:40000", "10.0.0.11:8080")
	q6 := quoted("IPv6 UDP", "[2001:db8::7]:40000", "[fd00::11]:8080")
	later := edit(append(make([]byte, ethLen), q4...), 6, 0, 9)[ethLen:]
	echo := edit(append(make([]byte, ethLen), q4...), 9, ICMP)[ethLen:]
	for _, c := range []struct {
		name            string
		frame           []byte
		isError, ok     bool
		ports, fragment bool
	}{
		{"unreachable", icmp4("10.0.0.1", "198.51.100.7", 3, 1, q4), true, true, true, false},
		{"source quench", icmp4("10.0.0.1", "198.51.100.7", 4, 0, q4), true, true, true, false},
		{"redirect is no error that NAT carries", icmp4("10.0.0.1", "198.51.100.7", 5, 1, q4), false, false, false, false},
		{"echo", icmp4("10.0.0.1", "198.51.100.7", 8, 0, q4), false, false, false, false},
		{"time exceeded", icmp4("10.0.0.1", "198.51.100.7", 11, 0, q4), true, true, true, false},
		{"parameter problem", icmp4("10.0.0.1", "198.51.100.7", 12, 0, q4), true, true, true, false},
		{"of a later fragment", icmp4("10.0.0.1", "198.51.100.7", 3, 1, later), true, true, false, true},
		{"of an echo", icmp4("10.0.0.1", "198.51.100.7", 3, 1, echo), true, true, false, false},
		{"of IPv6 in IPv4", icmp4("10.0.0.1", "198.51.100.7", 3, 1, q6), true, false, false, false},
		{"too big", icmp6("fd00::1", "2001:db8::7", 2, 0, q6), true, true, true, false},
		{"parameter problem 6", icmp6("fd00::1", "2001:db8::7", 4, 0, q6), true, true, true, false},
		{"type 5 of ICMPv6", icmp6("fd00::1", "2001:db8::7", 5, 0, q6), false, false, false, false},
		{"echo 6", icmp6("fd00::1", "2001:db8::7", 128, 0, q6), false, false, false, false},
	} {
		var p Packet
		if f := Parse(c.frame, &p); f != OK {
			t.Errorf("%s: %v", c.name, f)
		}
		if p.IsError != c.isError || p.IsError && (p.Quote.OK != c.ok || p.Quote.HasPorts != c.ports || p.Quote.Fragment != c.fragment) {
			t.Errorf("%s: error %v, quote %+v", c.name, p.IsError, p.Quote)
		}
	}
}

func TestADamagedErrorIsNotIntact(t *testing.T) {
	for name, frame := range map[string][]byte{
		"IPv4": icmp4("10.0.0.11", "198.51.100.7", 3, 3, quoted("IPv4 UDP", "198.51.100.7:40000", "10.0.0.11:53")),
		"IPv6": icmp6("fd00::1", "2001:db8::7", 1, 4, quoted("IPv6 TCP", "[2001:db8::7]:40000", "[fd00::1]:80")),
	} {
		var p Packet
		if f := Parse(frame, &p); f != OK || !p.IsIntact() {
			t.Errorf("%s: %v, intact %v", name, f, p.IsIntact())
		}
		frame[len(frame)-1] ^= 1
		if p.IsIntact() {
			t.Errorf("%s: a changed byte goes unseen", name)
		}
	}
}
