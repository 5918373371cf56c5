package service

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"
)

func via(m Method, address string, weight int) Server {
	v := masq(address, weight)
	v.Method = m
	return v
}

// recorded is what the recording admin had configured before it was saved;
// the service with a persistence engine is left out.
func recorded() []Status {
	const vip = "203.0.113.100:"
	list := []Status{
		{Service: Service{Key: Key{Mark: 5}, Scheduler: "rr"}},
		{Service: Service{Key: key(TCP, "[2001:db8:1::100]:80"), Scheduler: "rr", Netmask: 128}},
		{Service: Service{Key: key(SCTP, vip+"132"), Scheduler: "rr"}},
		{Service: Service{Key: key(UDP, vip+"86"), Scheduler: "rr", OnePacket: true}},
		{Service: Service{Key: key(TCP, vip+"89"), Scheduler: "mh", Flags: []string{"mh-fallback", "mh-port"}}},
		{Service: Service{Key: key(TCP, vip+"87"), Scheduler: "sh", Flags: []string{"sh-port"}}},
		{Service: Service{Key: key(TCP, vip+"85"), Scheduler: "rr", Netmask: 24}},
		{Service: Service{Key: key(TCP, vip+"84"), Scheduler: "rr", Netmask: 24, Persistent: time.Minute}},
		{Service: Service{Key: key(TCP, vip+"82"), Scheduler: "rr", Netmask: 32, Persistent: 6 * time.Minute}},
		{Service: Service{Key: key(TCP, vip+"80"), Scheduler: "wrr"}},
	}
	for i, servers := range map[int][]Server{
		0: {masq("10.1.0.11:8080", 1), masq("10.1.0.11:0", 1)},
		1: {masq("[fd00:1::11]:8080", 1)},
		9: {
			masq("10.1.0.26:0", 1), masq("10.1.0.25:80", 1), masq("10.1.0.23:80", 1<<31-1), masq("10.1.0.22:80", 65535),
			masq("10.1.0.21:80", 65536), masq("203.0.113.2:80", 1), via(Tunnel, "10.1.0.14:80", 7),
			via(Route, "10.1.0.13:80", 1), masq("10.1.0.12:8081", 0), via(Route, "10.1.0.11:80", 1),
		},
	} {
		for _, v := range servers {
			list[i].Servers = append(list[i].Servers, ServerStatus{Server: v})
		}
	}
	return list
}

func withoutLine(text []byte, part string) []byte {
	var kept []byte
	for line := range bytes.Lines(text) {
		if !bytes.Contains(line, []byte(part)) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// The recording has 203.0.113.2 before 10.1.0.11: see difference.
func TestRulesAreThoseThatIpvsadmSaves(t *testing.T) {
	want, err := os.ReadFile("testdata/save-n.txt")
	if err != nil {
		t.Fatal(err)
	}
	want = withoutLine(want, "--pe sip")
	list := recorded()
	SortStatus(list)
	var got bytes.Buffer
	if err := WriteRules(&got, WithoutStatus(list), Names{}); err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
}

func TestRulesWithNames(t *testing.T) {
	want, err := os.ReadFile("testdata/save.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := Names{
		Host: func(a netip.Addr) string { return "" },
		Port: func(p Protocol, port uint16) string {
			if p != TCP {
				return ""
			}
			return map[uint16]string{80: "http", 8080: "http-alt", 8081: "tproxy"}[port]
		},
	}
	list := []Configured{{Service{Key: web, Scheduler: "wlc"}, []Server{
		masq("203.0.113.2:80", 1), via(Route, "10.1.0.11:80", 1), masq("10.1.0.12:8080", 1), masq("10.1.0.12:8081", 0),
		via(Route, "10.1.0.13:80", 1), via(Tunnel, "10.1.0.14:80", 7),
	}}}
	var got bytes.Buffer
	if err := WriteRules(&got, list, names); err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", &got, want)
	}
	names.Host = func(netip.Addr) string { return "www" }
	for address, want := range map[string]string{"10.1.0.11:80": "www:http", "[2001:db8::1]:9": "[www]:9"} {
		if got := names.Format(TCP, netip.MustParseAddrPort(address)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestRulesSayAnyIPv4Mask(t *testing.T) {
	for mask, want := range map[uint32]string{
		0: " -M 0.0.0.0", 0xff00ff00: " -M 255.0.255.0", 0xfffffff8: " -M 255.255.255.248", 0x80000000: " -M 128.0.0.0", 1<<32 - 1: "",
	} {
		v := Service{Key: Key{Mark: 7}, Scheduler: "rr", Persistent: time.Minute, Netmask: IPv4Mask(mask)}
		var got bytes.Buffer
		if err := WriteRules(&got, []Configured{{Service: v}}, Names{}); err != nil {
			t.Fatal(err)
		}
		if got.String() != "-A -f 7 -s rr -p 60"+want+"\n" {
			t.Errorf("%08x: %s", mask, &got)
		}
	}
}

func TestRulesOfAnIPv6Mark(t *testing.T) {
	v := Service{Key: Key{Mark: 7, Address: netip.MustParseAddrPort("[::]:0")}, Scheduler: "rr", Persistent: time.Minute, Netmask: 64}
	var got bytes.Buffer
	if err := WriteRules(&got, []Configured{{Service: v}}, Names{}); err != nil {
		t.Fatal(err)
	}
	if got.String() != "-A -f 7 -6 -s rr -p 60 -M 64\n" {
		t.Error(got.String())
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteRulesReportsAFullDisk(t *testing.T) {
	if err := WriteRules(broken{}, WithoutStatus(recorded()), Names{}); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

// The recording stats-format: 46-byte packets of 20 connections, part of them
// in a first step, part in a second, then larger ones in a third.
func TestEstimatorShowsTheRecordedRates(t *testing.T) {
	const packets, size = 151124, 46
	for first := uint64(137000); first < 138000; first++ {
		var e Estimator
		e.Step(Stats{Conns: 20, InPkts: first, InBytes: first * size})
		e.Step(Stats{Conns: 20, InPkts: packets, InBytes: packets * size})
		want := Stats{Conns: 20, InPkts: packets, InBytes: 6951704, CPS: 2, InPPS: 14596, InBPS: 671426}
		if e.Stats() != want {
			continue
		}
		e.Step(Stats{Conns: 20, InPkts: 252248, InBytes: 157221968})
		want = Stats{Conns: 20, InPkts: 252248, InBytes: 157221968, CPS: 1, InPPS: 23588, InBPS: 19287353}
		if e.Stats() != want {
			continue
		}
		return
	}
	t.Error("no division over the steps gives the recorded rates")
}

func TestEstimatorZero(t *testing.T) {
	var e Estimator
	e.Step(Stats{Conns: 20, OutPkts: 1000, OutBytes: 46000})
	e.Zero()
	if e.Stats() != (Stats{}) {
		t.Errorf("%+v", e.Stats())
	}
	e.Step(Stats{Conns: 28, OutPkts: 1000, OutBytes: 46000})
	if got := e.Stats(); got != (Stats{Conns: 8, CPS: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestEstimatorSettlesOnTheRateAndFades(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var e Estimator
		var now Stats
		rate := r.Uint64N(1 << 36)
		for range 200 {
			now.InBytes += 2 * rate
			e.Step(now)
		}
		if got := e.Stats().InBPS; got != rate {
			t.Errorf("got %d, want %d", got, rate)
		}
		for range 200 {
			e.Step(now)
		}
		if got := e.Stats().InBPS; got != 0 {
			t.Errorf("got %d after silence", got)
		}
	}
}
